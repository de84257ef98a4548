//! `pipe graph`: which step reads which.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::loaded::{Loaded, Meaning};
use super::{Globals, Outcome, print};
use crate::diagnostic::has_errors;
use crate::name::Name;
use crate::plan::{Origin, Plan};
use crate::report::graph::{Graph as Drawn, GraphNode, NodeKind};
use crate::settings::Flags;

/// Arguments of `pipe graph`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pipe graph this_week
  pipe graph this_week --format svg > this_week.svg
  pipe graph --format mermaid")]
pub(super) struct Graph {
    /// Jobs, by file or name; all where none is named
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    #[command(flatten)]
    meaning: Meaning,
    /// Leave out sources and the tables of other jobs
    #[arg(long)]
    steps_only: bool,
    /// How the graph is drawn
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree of names.
    #[default]
    Text,
    /// For Markdown.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// A drawing.
    Svg,
    /// Nodes and edges.
    Json,
}

impl Graph {
    pub(super) fn run(self, globals: &Globals) -> Result<Outcome, Outcome> {
        let loaded = Loaded::read(globals, &self.meaning, Flags::default())?;
        let wanted = loaded.wanted(&self.jobs)?;
        let (resolved, problems) = loaded.resolve(&wanted);
        if has_errors(&problems) {
            return Err(Outcome::Wrong(problems));
        }
        let graph = drawn(&resolved.plan, &wanted, self.steps_only);
        let text = match self.format {
            Format::Text => graph.tree(),
            Format::Mermaid => graph.mermaid(),
            Format::Dot => graph.dot(),
            Format::Svg => graph.svg(),
            Format::Json => json(&graph),
        };
        print(&text)?;
        Ok(Outcome::Done)
    }
}

/// The graph of these jobs: their steps, and the tables from outside that they read.
pub(super) fn drawn(plan: &Plan, wanted: &[Name], steps_only: bool) -> Drawn {
    let several = wanted.len() > 1;
    let mut nodes: Vec<GraphNode> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut edges = BTreeSet::new();
    let order: Vec<usize> =
        plan.step_order().into_iter().filter(|at| wanted.contains(&plan.steps[*at].id.job)).collect();
    for at in &order {
        let step = &plan.steps[*at];
        let kind = if step.publish.is_some() { NodeKind::Published } else { NodeKind::Internal };
        places.insert(step.id.to_string(), nodes.len());
        let name = if several { step.id.to_string() } else { step.id.step.lower() };
        nodes.push(GraphNode { name, kind });
    }
    for at in &order {
        let step = &plan.steps[*at];
        let reader = places[&step.id.to_string()];
        for input in &step.inputs {
            let (key, table) = match &input.origin {
                Origin::Step(id, table) => (id.to_string(), table.clone()),
                Origin::Table(name) => (name.lower(), Some(name.clone())),
                Origin::Own(_) => continue,
            };
            let read = match (places.get(&key), table) {
                (Some(read), _) => *read,
                (None, Some(table)) if !steps_only => {
                    places.insert(key, nodes.len());
                    nodes.push(GraphNode { name: table.lower(), kind: NodeKind::Table });
                    nodes.len() - 1
                }
                _ => continue,
            };
            edges.insert((read, reader));
        }
    }
    Drawn { nodes, edges }
}

fn json(graph: &Drawn) -> String {
    let nodes = graph.nodes.iter().map(|node| {
        let kind = match node.kind {
            NodeKind::Table => "table",
            NodeKind::Internal => "internal",
            NodeKind::Published => "published",
        };
        json!({"name": node.name, "kind": kind})
    });
    let edges = graph.edges.iter();
    let edges = edges.map(|(read, reader)| json!({"from": graph.nodes[*read].name, "to": graph.nodes[*reader].name}));
    format!("{}\n", json!({"nodes": nodes.collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>()}))
}
