//! The order of work: a graph of steps and of the publishing of each job. It knows nothing of what a step does.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::text::Span;

/// A unit of work, by its index in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A step is built and tested.
    Step(usize),
    /// All tables of a job become visible.
    Publish(usize),
}

/// What must be done before what.
#[derive(Clone, Debug, Default)]
pub struct Dag {
    graph: DiGraph<Node, Option<Span>, u32>,
    places: HashMap<Node, NodeIndex<u32>>,
}

/// One turn of a cycle: a node, and where the author made the next one depend on it.
pub type Cycle = Vec<(Node, Option<Span>)>;

impl Dag {
    /// The graph without edges.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        let mut dag = Self::default();
        for node in nodes {
            let place = dag.graph.add_node(node);
            dag.places.insert(node, place);
        }
        dag
    }

    /// `after` waits for `before`, because of what stands at `span`. An edge that is there already is kept as it is.
    pub fn depend(&mut self, after: Node, before: Node, span: Option<Span>) {
        if let (Some(&from), Some(&to)) = (self.places.get(&before), self.places.get(&after))
            && self.graph.find_edge(from, to).is_none()
        {
            self.graph.add_edge(from, to, span);
        }
    }

    /// The nodes that `node` waits for, in their order of index.
    pub fn before(&self, node: Node) -> Vec<Node> {
        self.neighbours(node, Direction::Incoming)
    }

    /// The nodes that wait for `node`, in their order of index.
    pub fn after(&self, node: Node) -> Vec<Node> {
        self.neighbours(node, Direction::Outgoing)
    }

    fn neighbours(&self, node: Node, direction: Direction) -> Vec<Node> {
        let Some(&place) = self.places.get(&node) else { return Vec::new() };
        let mut nodes: Vec<Node> = self.graph.neighbors_directed(place, direction).map(|n| self.graph[n]).collect();
        nodes.sort_unstable();
        nodes
    }

    /// `nodes` and all they wait for, at any distance.
    pub fn with_ancestors(&self, nodes: impl IntoIterator<Item = Node>) -> BTreeSet<Node> {
        self.reach(nodes, Direction::Incoming)
    }

    /// `nodes` and all that wait for them, at any distance.
    pub fn with_descendants(&self, nodes: impl IntoIterator<Item = Node>) -> BTreeSet<Node> {
        self.reach(nodes, Direction::Outgoing)
    }

    fn reach(&self, nodes: impl IntoIterator<Item = Node>, direction: Direction) -> BTreeSet<Node> {
        let mut seen: BTreeSet<Node> = nodes.into_iter().collect();
        let mut queue: VecDeque<Node> = seen.iter().copied().collect();
        while let Some(node) = queue.pop_front() {
            for next in self.neighbours(node, direction) {
                if seen.insert(next) {
                    queue.push_back(next);
                }
            }
        }
        seen
    }

    /// Every node after all it waits for, the author's order kept where the graph leaves a choice.
    /// In a graph with cycles the nodes of the cycles, and what waits for them, are left out.
    pub fn order(&self) -> Vec<Node> {
        let mut waits: HashMap<NodeIndex<u32>, usize> = HashMap::with_capacity(self.graph.node_count());
        let mut ready = BinaryHeap::new();
        for place in self.graph.node_indices() {
            let count = self.graph.neighbors_directed(place, Direction::Incoming).count();
            waits.insert(place, count);
            if count == 0 {
                ready.push(Reverse(place));
            }
        }
        let mut order = Vec::with_capacity(waits.len());
        while let Some(Reverse(place)) = ready.pop() {
            order.push(self.graph[place]);
            for next in self.graph.neighbors_directed(place, Direction::Outgoing) {
                if let Some(count) = waits.get_mut(&next) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(Reverse(next));
                    }
                }
            }
        }
        order
    }

    /// A shortest cycle of every knot of nodes that wait for each other, in the author's order.
    pub fn cycles(&self) -> Vec<Cycle> {
        let mut cycles: Vec<Cycle> = tarjan_scc(&self.graph).iter().filter_map(|knot| self.cycle_in(knot)).collect();
        cycles.sort_by_key(|cycle| cycle.first().map(|(node, _)| *node));
        cycles
    }

    fn cycle_in(&self, knot: &[NodeIndex<u32>]) -> Option<Cycle> {
        let first = *knot.iter().min()?;
        if knot.len() == 1 && self.graph.find_edge(first, first).is_none() {
            return None;
        }
        let mut reached_from: HashMap<NodeIndex<u32>, NodeIndex<u32>> = HashMap::new();
        let mut queue = VecDeque::from([first]);
        while let Some(place) = queue.pop_front() {
            let mut next: Vec<_> = self.graph.neighbors_directed(place, Direction::Outgoing).collect();
            next.sort_unstable();
            for next in next {
                if next == first {
                    return Some(self.walk_back(first, place, &reached_from));
                }
                if knot.contains(&next) && !reached_from.contains_key(&next) {
                    reached_from.insert(next, place);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn walk_back(
        &self,
        first: NodeIndex<u32>,
        last: NodeIndex<u32>,
        reached_from: &HashMap<NodeIndex<u32>, NodeIndex<u32>>,
    ) -> Cycle {
        let mut places = vec![last];
        while let Some(&place) = places.last().filter(|place| **place != first).and_then(|p| reached_from.get(p)) {
            places.push(place);
        }
        places.reverse();
        let next = places.iter().copied().cycle().skip(1);
        let turn = places.iter().copied().zip(next);
        turn.map(|(from, to)| {
            let span = self.graph.edges_connecting(from, to).next().and_then(|edge| edge.weight().clone());
            (self.graph[from], span)
        })
        .collect()
    }

    /// All edges as (before, after), in order.
    pub fn edges(&self) -> Vec<(Node, Node)> {
        let ends = self.graph.edge_references().map(|edge| (self.graph[edge.source()], self.graph[edge.target()]));
        let mut edges: Vec<_> = ends.collect();
        edges.sort_unstable();
        edges
    }

    /// For every node the length of the longest way from it to an end, its own weight included: what is started first
    /// when several nodes are ready.
    pub fn remaining(&self, weight: impl Fn(Node) -> f64) -> HashMap<Node, f64> {
        let mut remaining: HashMap<Node, f64> = HashMap::with_capacity(self.graph.node_count());
        for node in self.order().into_iter().rev() {
            let Some(&place) = self.places.get(&node) else { continue };
            let after = self.graph.neighbors_directed(place, Direction::Outgoing);
            let longest = after.filter_map(|next| remaining.get(&self.graph[next])).copied().fold(0.0, f64::max);
            remaining.insert(node, longest + weight(node));
        }
        remaining
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dag(steps: usize, edges: &[(usize, usize)]) -> Dag {
        let mut dag = Dag::new((0..steps).map(Node::Step));
        for &(before, after) in edges {
            dag.depend(Node::Step(after), Node::Step(before), None);
        }
        dag
    }

    #[test]
    fn the_order_respects_edges_and_otherwise_the_author() {
        let order = dag(4, &[(3, 0), (0, 1)]).order();
        assert_eq!(order, [2, 3, 0, 1].map(Node::Step));
    }

    #[test]
    fn every_knot_gives_its_shortest_cycle() {
        let knots = dag(6, &[(0, 1), (1, 2), (2, 0), (1, 0), (3, 4), (5, 5)]).cycles();
        let nodes: Vec<Vec<Node>> = knots.iter().map(|cycle| cycle.iter().map(|(node, _)| *node).collect()).collect();
        assert_eq!(nodes, [vec![Node::Step(0), Node::Step(1)], vec![Node::Step(5)]]);
        assert!(dag(3, &[(0, 1), (1, 2), (0, 2)]).cycles().is_empty());
    }

    #[test]
    fn the_longest_remaining_path_counts_weights() {
        let weights = [1.0, 5.0, 2.0, 1.0];
        let remaining = dag(4, &[(0, 1), (0, 2), (2, 3)]).remaining(|node| match node {
            Node::Step(index) => weights[index],
            Node::Publish(_) => 0.0,
        });
        assert_eq!(remaining[&Node::Step(0)], 6.0);
        assert_eq!(remaining[&Node::Step(2)], 3.0);
    }

    #[test]
    fn ancestors_and_descendants_reach_any_distance() {
        let dag = dag(4, &[(0, 1), (1, 2)]);
        assert_eq!(dag.with_ancestors([Node::Step(2)]).len(), 3);
        assert_eq!(dag.with_descendants([Node::Step(1)]).len(), 2);
        assert_eq!(dag.with_descendants([Node::Step(3)]).len(), 1);
    }
}
