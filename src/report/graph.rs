//! Graphs of steps as a text tree, Mermaid, Graphviz and SVG.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The nodes in the author's order: those after what they read where a job allows.
    pub nodes: Vec<GraphNode>,
    /// What is read, and what reads it, as indices.
    pub edges: BTreeSet<(usize, usize)>,
}

/// A node of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A source, or a table of a job that is not drawn.
    Table,
    /// A step that publishes nothing.
    Internal,
    /// A step that publishes a table or view.
    Published,
}

impl Graph {
    fn read_by(&self, node: usize) -> Vec<usize> {
        self.edges.iter().filter(|(_, reader)| *reader == node).map(|(read, _)| *read).collect()
    }

    /// A tree from what nothing reads down to the sources. What was shown before is not shown again with all it reads.
    pub fn tree(&self) -> String {
        let mut text = String::new();
        let mut shown = BTreeSet::new();
        for root in (0..self.nodes.len()).filter(|at| !self.edges.iter().any(|(read, _)| read == at)) {
            self.branch(root, "", "", &mut shown, &mut text);
        }
        text
    }

    fn branch(&self, node: usize, lead: &str, below: &str, shown: &mut BTreeSet<usize>, text: &mut String) {
        let reads = self.read_by(node);
        let again = !shown.insert(node) && !reads.is_empty();
        let mark = if again { "  (above)" } else { "" };
        text.push_str(&format!("{lead}{}{mark}\n", self.nodes[node].name));
        if again {
            return;
        }
        for (at, read) in reads.iter().enumerate() {
            let last = at + 1 == reads.len();
            let lead = format!("{below}{}", if last { "└── " } else { "├── " });
            let below = format!("{below}{}", if last { "    " } else { "│   " });
            self.branch(*read, &lead, &below, shown, text);
        }
    }

    /// A Mermaid flowchart.
    pub fn mermaid(&self) -> String {
        let mut text = "flowchart LR\n".to_owned();
        for (at, node) in self.nodes.iter().enumerate() {
            let name = node.name.replace('"', "#quot;");
            text.push_str(&match node.kind {
                NodeKind::Table => format!("  n{at}[(\"{name}\")]\n"),
                NodeKind::Internal => format!("  n{at}[\"{name}\"]\n"),
                NodeKind::Published => format!("  n{at}[[\"{name}\"]]\n"),
            });
        }
        for (read, reader) in &self.edges {
            text.push_str(&format!("  n{read} --> n{reader}\n"));
        }
        text
    }

    /// A Graphviz digraph.
    pub fn dot(&self) -> String {
        let mut text = "digraph steps {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
        for (at, node) in self.nodes.iter().enumerate() {
            let name = node.name.replace('\\', "\\\\").replace('"', "\\\"");
            let shape = match node.kind {
                NodeKind::Table => "cylinder",
                NodeKind::Internal => "box",
                NodeKind::Published => "box, style=bold",
            };
            text.push_str(&format!("  n{at} [label=\"{name}\", shape={shape}];\n"));
        }
        for (read, reader) in &self.edges {
            text.push_str(&format!("  n{read} -> n{reader};\n"));
        }
        text.push_str("}\n");
        text
    }

    /// A drawing in layers from left to right, each node right of all it reads.
    pub fn svg(&self) -> String {
        Drawing::of(self).svg(self)
    }
}

const CHARACTER: f64 = 7.3;
const HEIGHT: f64 = 28.0;
const GAP: f64 = 14.0;
const BETWEEN: f64 = 70.0;
const MARGIN: f64 = 16.0;

/// Where nodes stand.
struct Drawing {
    places: Vec<(f64, f64, f64)>,
    width: f64,
    height: f64,
}

impl Drawing {
    fn of(graph: &Graph) -> Self {
        let layers = ordered(graph, layers(graph));
        let tallest = layers.values().map(Vec::len).max().unwrap_or_default() as f64;
        let height = (tallest * (HEIGHT + GAP) - GAP).max(0.0);
        let mut places = vec![(0.0, 0.0, 0.0); graph.nodes.len()];
        let mut x = MARGIN;
        for nodes in layers.values() {
            let of = |at: &usize| graph.nodes[*at].name.chars().count() as f64 * CHARACTER + 24.0;
            let width = nodes.iter().map(of).fold(0.0, f64::max);
            let used = nodes.len() as f64 * (HEIGHT + GAP) - GAP;
            let mut y = MARGIN + (height - used) / 2.0;
            for at in nodes {
                places[*at] = (x, y, width);
                y += HEIGHT + GAP;
            }
            x += width + BETWEEN;
        }
        Self { places, width: (x - BETWEEN + MARGIN).max(2.0 * MARGIN), height: height + 2.0 * MARGIN }
    }

    fn svg(&self, graph: &Graph) -> String {
        let mut text = String::new();
        let (width, height) = (self.width, self.height);
        let _ = write!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, Menlo, Consolas, monospace\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        for (read, reader) in &graph.edges {
            let ((x, y, w), (to_x, to_y, _)) = (self.places[*read], self.places[*reader]);
            let (from_x, from_y, to_y) = (x + w, y + HEIGHT / 2.0, to_y + HEIGHT / 2.0);
            let bend = ((to_x - from_x) / 2.0).max(BETWEEN / 2.0);
            let _ = writeln!(
                text,
                "<path d=\"M{from_x:.1} {from_y:.1} C{:.1} {from_y:.1} {:.1} {to_y:.1} {to_x:.1} {to_y:.1}\" \
                 fill=\"none\" stroke=\"#94a3b8\" stroke-width=\"1.2\"/>",
                from_x + bend,
                to_x - bend
            );
        }
        for (node, (x, y, width)) in graph.nodes.iter().zip(&self.places) {
            let (fill, stroke) = match node.kind {
                NodeKind::Table => ("#f1f5f9", "#94a3b8"),
                NodeKind::Internal => ("#ffffff", "#475569"),
                NodeKind::Published => ("#dbeafe", "#1d4ed8"),
            };
            let round = if node.kind == NodeKind::Table { HEIGHT / 2.0 } else { 4.0 };
            let _ = writeln!(
                text,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"{round}\" fill=\"{fill}\" \
                 stroke=\"{stroke}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#0f172a\">{}</text>",
                x + width / 2.0,
                y + HEIGHT / 2.0 + 4.0,
                node.name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
            );
        }
        text.push_str("</svg>\n");
        text
    }
}

/// The layer of every node: one more than the greatest of what it reads. A table stands just left of its first reader.
fn layers(graph: &Graph) -> Vec<usize> {
    let mut layers = vec![0_usize; graph.nodes.len()];
    for _ in 0..graph.nodes.len() {
        let mut moved = false;
        for (read, reader) in &graph.edges {
            if layers[*reader] <= layers[*read] && layers[*read] < graph.nodes.len() {
                layers[*reader] = layers[*read] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        let readers = graph.edges.iter().filter(|(read, _)| *read == at).map(|(_, reader)| layers[*reader]);
        if node.kind == NodeKind::Table
            && let Some(first) = readers.min()
        {
            layers[at] = first.saturating_sub(1);
        }
    }
    layers
}

/// The nodes of each layer, ordered so that few edges cross: by the mean place of their neighbours, back and forth.
fn ordered(graph: &Graph, layers: Vec<usize>) -> BTreeMap<usize, Vec<usize>> {
    let mut by_layer: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, layer) in layers.iter().enumerate() {
        by_layer.entry(*layer).or_default().push(at);
    }
    let mut place = vec![0.0; graph.nodes.len()];
    let numbered = |nodes: &[usize], place: &mut Vec<f64>| {
        let middle = nodes.len() as f64 / 2.0;
        nodes.iter().enumerate().for_each(|(row, at)| place[*at] = row as f64 - middle);
    };
    by_layer.values().for_each(|nodes| numbered(nodes, &mut place));
    for sweep in 0..8 {
        let forward = sweep % 2 == 0;
        let keys: Vec<usize> =
            if forward { by_layer.keys().copied().collect() } else { by_layer.keys().rev().copied().collect() };
        for key in keys {
            let Some(nodes) = by_layer.get_mut(&key) else { continue };
            let mean = |at: usize| {
                let near: Vec<f64> = graph
                    .edges
                    .iter()
                    .filter_map(|(read, reader)| match forward {
                        true if *reader == at => Some(place[*read]),
                        false if *read == at => Some(place[*reader]),
                        _ => None,
                    })
                    .collect();
                if near.is_empty() { place[at] } else { near.iter().sum::<f64>() / near.len() as f64 }
            };
            let means: BTreeMap<usize, f64> = nodes.iter().map(|at| (*at, mean(*at))).collect();
            nodes.sort_by(|a, b| means[a].total_cmp(&means[b]).then(a.cmp(b)));
            numbered(nodes, &mut place);
        }
    }
    by_layer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let node = |name: &str, kind| GraphNode { name: name.to_owned(), kind };
        let nodes = vec![
            node("raw.orders", NodeKind::Table),
            node("recent", NodeKind::Internal),
            node("totals", NodeKind::Published),
            node("top", NodeKind::Published),
        ];
        Graph { nodes, edges: [(0, 1), (1, 2), (1, 3), (2, 3)].into() }
    }

    #[test]
    fn a_tree_shows_what_was_shown_before_only_by_name() {
        let tree = "top\n├── recent\n│   └── raw.orders\n└── totals\n    └── recent  (above)\n";
        assert_eq!(graph().tree(), tree);
    }

    #[test]
    fn every_node_stands_right_of_what_it_reads() {
        let graph = graph();
        let drawing = Drawing::of(&graph);
        for (read, reader) in &graph.edges {
            assert!(drawing.places[*read].0 + drawing.places[*read].2 < drawing.places[*reader].0);
        }
        assert!(graph.svg().ends_with("</svg>\n"));
    }

    #[test]
    fn other_programs_get_their_own_syntax() {
        assert!(graph().mermaid().contains("n0[(\"raw.orders\")]") && graph().mermaid().contains("n1 --> n2"));
        assert!(graph().dot().contains("n1 -> n3;"));
    }
}
