//! Graphs of steps as a text tree, Mermaid, Graphviz and SVG.

use std::collections::BTreeSet;

mod drawing;

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
        drawing::Drawing::of(self).svg(self)
    }
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
    fn other_programs_get_their_own_syntax() {
        assert!(graph().mermaid().contains("n0[(\"raw.orders\")]") && graph().mermaid().contains("n1 --> n2"));
        assert!(graph().dot().contains("n1 -> n3;"));
    }
}
