//! A graph as an SVG drawing: layers from left to right, each node right of all it reads. An edge over several layers goes
//! through a lane in each of them, so that it crosses no node; the edges of one node share their lanes.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Graph, NodeKind};

const CHARACTER: f64 = 7.3;
const HEIGHT: f64 = 28.0;
const LANE: f64 = 6.0;
const GAP: f64 = 14.0;
const BETWEEN: f64 = 70.0;
const MARGIN: f64 = 16.0;
/// How often the layers are put in order, forth and back.
const SWEEPS: usize = 8;

/// Something that has a place in a layer: a node, or the lane of a node's edges.
struct Cell {
    node: Option<usize>,
    layer: usize,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Where everything stands.
pub(super) struct Drawing {
    cells: Vec<Cell>,
    /// Pairs of cells in neighbouring layers that a line joins.
    links: Vec<(usize, usize)>,
    width: f64,
    height: f64,
}

impl Drawing {
    pub(super) fn of(graph: &Graph) -> Self {
        let layers = layers(graph);
        let mut drawing = Self { cells: Vec::new(), links: Vec::new(), width: 0.0, height: 0.0 };
        for (node, layer) in layers.iter().enumerate() {
            drawing.cell(Some(node), *layer, HEIGHT);
        }
        let mut lanes: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for &(read, reader) in &graph.edges {
            let mut from = read;
            for layer in layers[read] + 1..layers[reader] {
                let lane = lanes.get(&(read, layer)).copied().unwrap_or_else(|| {
                    let lane = drawing.cell(None, layer, LANE);
                    drawing.links.push((from, lane));
                    lanes.insert((read, layer), lane);
                    lane
                });
                from = lane;
            }
            drawing.links.push((from, reader));
        }
        let order = drawing.ordered();
        drawing.place(graph, &order);
        drawing
    }

    fn cell(&mut self, node: Option<usize>, layer: usize, height: f64) -> usize {
        self.cells.push(Cell { node, layer, x: 0.0, y: 0.0, width: 0.0, height });
        self.cells.len() - 1
    }

    /// The cells of each layer, ordered so that few lines cross: by the mean place of their neighbours, forth and back.
    fn ordered(&self) -> Vec<Vec<usize>> {
        let mut layers: Vec<Vec<usize>> = Vec::new();
        for (at, cell) in self.cells.iter().enumerate() {
            if layers.len() <= cell.layer {
                layers.resize(cell.layer + 1, Vec::new());
            }
            layers[cell.layer].push(at);
        }
        let (mut before, mut after) = (vec![Vec::new(); self.cells.len()], vec![Vec::new(); self.cells.len()]);
        for &(from, to) in &self.links {
            after[from].push(to);
            before[to].push(from);
        }
        let mut places = vec![0.0; self.cells.len()];
        let numbered = |layer: &[usize], places: &mut [f64]| {
            let middle = layer.len() as f64 / 2.0;
            layer.iter().enumerate().for_each(|(row, at)| places[*at] = row as f64 - middle);
        };
        layers.iter().for_each(|layer| numbered(layer, &mut places));
        for sweep in 0..SWEEPS {
            let near = if sweep % 2 == 0 { &before } else { &after };
            let count = layers.len();
            for step in 0..count {
                let layer = if sweep % 2 == 0 { &mut layers[step] } else { &mut layers[count - 1 - step] };
                let mean = |at: usize| match near[at].len() {
                    0 => places[at],
                    neighbours => near[at].iter().map(|near| places[*near]).sum::<f64>() / neighbours as f64,
                };
                let means: BTreeMap<usize, f64> = layer.iter().map(|at| (*at, mean(*at))).collect();
                layer.sort_by(|a, b| means[a].total_cmp(&means[b]).then(a.cmp(b)));
                numbered(layer, &mut places);
            }
        }
        layers
    }

    fn place(&mut self, graph: &Graph, layers: &[Vec<usize>]) {
        let tall = |cells: &[Cell], layer: &[usize]| {
            (layer.iter().map(|at| cells[*at].height + GAP).sum::<f64>() - GAP).max(0.0)
        };
        let height = layers.iter().map(|layer| tall(&self.cells, layer)).fold(0.0, f64::max);
        let mut x = MARGIN;
        for layer in layers {
            let letters = |at: &usize| self.cells[*at].node.map_or(0, |node| graph.nodes[node].name.chars().count());
            let width = layer.iter().map(letters).max().unwrap_or_default() as f64 * CHARACTER + 24.0;
            let mut y = MARGIN + (height - tall(&self.cells, layer)) / 2.0;
            for at in layer {
                let cell = &mut self.cells[*at];
                (cell.x, cell.y, cell.width) = (x, y, width);
                y += cell.height + GAP;
            }
            x += width + BETWEEN;
        }
        self.width = (x - BETWEEN + MARGIN).max(2.0 * MARGIN);
        self.height = height + 2.0 * MARGIN;
    }

    pub(super) fn svg(&self, graph: &Graph) -> String {
        let (width, height) = (self.width, self.height);
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, Menlo, Consolas, monospace\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <g fill=\"none\" stroke=\"#94a3b8\" stroke-width=\"1.2\">\n"
        );
        for &(from, to) in &self.links {
            self.line(&mut text, &self.cells[from], &self.cells[to]);
        }
        text.push_str("</g>\n");
        for cell in &self.cells {
            if let Some(node) = cell.node {
                self.node(&mut text, cell, &graph.nodes[node].name, graph.nodes[node].kind);
            }
        }
        text.push_str("</svg>\n");
        text
    }

    /// From the right side of a cell to the left side of one in the next layer, and through it where it is a lane.
    fn line(&self, text: &mut String, from: &Cell, to: &Cell) {
        let (x, y) = (from.x + from.width, from.y + from.height / 2.0);
        let (to_x, to_y) = (to.x, to.y + to.height / 2.0);
        let middle = f64::midpoint(x, to_x);
        let _ = write!(text, "<path d=\"M{x:.1} {y:.1} C{middle:.1} {y:.1} {middle:.1} {to_y:.1} {to_x:.1} {to_y:.1}");
        if to.node.is_none() {
            let _ = write!(text, " H{:.1}", to.x + to.width);
        }
        text.push_str("\"/>\n");
    }

    fn node(&self, text: &mut String, cell: &Cell, name: &str, kind: NodeKind) {
        let (fill, stroke) = match kind {
            NodeKind::Table => ("#f1f5f9", "#94a3b8"),
            NodeKind::Internal => ("#ffffff", "#475569"),
            NodeKind::Published => ("#dbeafe", "#1d4ed8"),
        };
        let round = if kind == NodeKind::Table { HEIGHT / 2.0 } else { 4.0 };
        let (x, y, width) = (cell.x, cell.y, cell.width);
        let _ = writeln!(
            text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"{round}\" fill=\"{fill}\" \
             stroke=\"{stroke}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#0f172a\">{}</text>",
            x + width / 2.0,
            y + HEIGHT / 2.0 + 4.0,
            name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        );
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
    let mut first_reader: BTreeMap<usize, usize> = BTreeMap::new();
    for (read, reader) in &graph.edges {
        let first = first_reader.entry(*read).or_insert(layers[*reader]);
        *first = (*first).min(layers[*reader]);
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        if let (NodeKind::Table, Some(first)) = (node.kind, first_reader.get(&at)) {
            layers[at] = first.saturating_sub(1);
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::graph::GraphNode;

    #[test]
    fn every_node_stands_right_of_what_it_reads_and_no_line_crosses_one() {
        let node = |name: &str| GraphNode { name: name.to_owned(), kind: NodeKind::Internal };
        let nodes = ["a", "b", "c", "d", "e"].map(node).to_vec();
        let graph = Graph { nodes, edges: [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2), (4, 3)].into() };
        let drawing = Drawing::of(&graph);
        for &(from, to) in &drawing.links {
            let (from, to) = (&drawing.cells[from], &drawing.cells[to]);
            assert_eq!(from.layer + 1, to.layer);
            assert!(from.x + from.width < to.x);
        }
        for (at, cell) in drawing.cells.iter().enumerate() {
            let above = drawing.cells.iter().skip(at + 1).filter(|other| other.layer == cell.layer);
            for other in above {
                assert!(cell.y + cell.height < other.y || other.y + other.height < cell.y);
            }
        }
        let lanes = drawing.cells.iter().filter(|cell| cell.node.is_none()).count();
        assert_eq!(lanes, 4, "two for what `a` gives, two for what `e` gives");
        assert!(drawing.svg(&graph).ends_with("</svg>\n"));
    }
}
