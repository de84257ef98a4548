//! What a YAML file may hold, as tables of keys with their descriptions. One table checks a file, explains what is wrong
//! with it, and writes the JSON Schema for editors, so that the three cannot disagree.

use crate::diagnostic::Diagnostic;
use crate::name::nearest;
use crate::yaml::{Entry, Node, Value};

/// What one value may be.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Anything at all: someone else reads it.
    Any,
    /// Text, on one line or several.
    Text,
    /// A scalar that stands for itself in SQL: text, number, true or false.
    Scalar,
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds.
    Integer {
        /// The least that is allowed.
        min: i64,
        /// The most that is allowed.
        max: i64,
    },
    /// A number.
    Number,
    /// An SQL expression over columns.
    Sql,
    /// A scalar of a certain form, such as a duration.
    Form(&'static Form),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list.
    List(&'static Shape),
    /// A value, or a list of them.
    OneOrMore(&'static Shape),
    /// A mapping from names the author chooses.
    Names {
        /// What a name is the name of, such as `step`.
        noun: &'static str,
        /// What stands under each name.
        value: &'static Shape,
    },
    /// A mapping with known keys.
    Record(&'static Record),
    /// The first of these that the value could be, going by whether it is a scalar, a list or a mapping.
    Either(&'static [Shape]),
    /// Nothing, or this.
    Optional(&'static Shape),
    /// This, where a text with `{{` stands for what it will be once its variables are filled in.
    Template(&'static Shape),
}

/// A scalar of a certain form.
#[derive(Debug)]
pub struct Form {
    /// What it is, with its article: `a duration`.
    pub noun: &'static str,
    /// One that is right.
    pub example: &'static str,
    /// Whether a text has the form.
    pub accepts: fn(&str) -> bool,
    /// The form as a regular expression, for editors.
    pub pattern: &'static str,
}

/// A mapping with known keys.
#[derive(Debug)]
pub struct Record {
    /// What it is, without an article: `step`.
    pub noun: &'static str,
    /// The keys it may have.
    pub keys: &'static [Key],
    /// The keys of which it may have only one, each another kind of this record.
    pub kinds: &'static [Key],
    /// Whether one of `kinds` must be there.
    pub kind_required: bool,
}

/// One key of a record.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What its value may be.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What it means, in one sentence for a reader of the file.
    pub description: &'static str,
    /// A value as an author would write it, in YAML on one line; empty for none.
    pub example: &'static str,
}

impl Key {
    /// A key that may be there.
    pub const fn new(name: &'static str, shape: Shape, description: &'static str) -> Self {
        Self { name, shape, required: false, description, example: "" }
    }

    /// The same, but it must be there.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same, with an example.
    #[must_use]
    pub const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
}

impl Record {
    /// A mapping with these keys.
    pub const fn new(noun: &'static str, keys: &'static [Key]) -> Self {
        Self { noun, keys, kinds: &[], kind_required: false }
    }

    /// A mapping with these keys, and at most one key of `kinds`.
    pub const fn of_kinds(noun: &'static str, keys: &'static [Key], kinds: &'static [Key]) -> Self {
        Self { noun, keys, kinds, kind_required: false }
    }

    /// All keys.
    pub fn all_keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().chain(self.kinds)
    }

    /// The kind of a node that was checked against this record: the entry whose key is a kind.
    pub fn kind_of<'a>(&self, node: &'a Node) -> Option<&'a Entry> {
        node.entries().iter().find(|entry| self.kinds.iter().any(|kind| kind.name == entry.key.value))
    }
}

impl Shape {
    /// Gathers everything that is wrong with a node.
    pub fn check(&self, node: &Node, problems: &mut Vec<Diagnostic>) {
        match self {
            Self::Any => {}
            Self::Optional(_) if node.value == Value::Null => {}
            Self::Optional(shape) => shape.check(node, problems),
            Self::Template(shape) => {
                let mut found = Vec::new();
                shape.check(node, &mut found);
                problems.extend(found.into_iter().filter(|problem| !is_template(problem)));
            }
            Self::Either(shapes) => match shapes.iter().find(|shape| shape.fits(node)) {
                Some(shape) => shape.check(node, problems),
                None => problems.push(self.wrong_type(node)),
            },
            _ if !self.fits(node) => problems.push(self.wrong_type(node)),
            Self::Form(form) => {
                let text = node.scalar().unwrap_or_default();
                if !(form.accepts)(text) {
                    let message = format!("`{text}` is not {}", form.noun);
                    let hint = format!("write it like `{}`", form.example);
                    problems.push(Diagnostic::error("wrong-value", message).at(node.span.clone()).hint(hint));
                }
            }
            Self::Word(words) => {
                let text = node.scalar().unwrap_or_default();
                if !words.contains(&text) {
                    problems.push(unknown_word(text, words, node));
                }
            }
            Self::Integer { min, max } => {
                let value = node.integer().unwrap_or_default();
                if value < *min || value > *max {
                    let message = format!("`{value}` is not between {min} and {max}");
                    problems.push(Diagnostic::error("wrong-value", message).at(node.span.clone()));
                }
            }
            Self::List(shape) | Self::OneOrMore(shape) => {
                for item in node.items() {
                    shape.check(item, problems);
                }
            }
            Self::Names { noun, value } => {
                repeated(node, noun, problems);
                for entry in node.entries() {
                    if entry.key.value.is_empty() {
                        let message = format!("this {noun} has no name");
                        problems.push(Diagnostic::error("missing-name", message).at(entry.key.span.clone()));
                    }
                    value.check(&entry.value, problems);
                }
            }
            Self::Record(record) => record.check(node, problems),
            Self::Text | Self::Scalar | Self::Boolean | Self::Number | Self::Sql => {}
        }
    }

    /// Whether a node is of the right YAML kind, going no deeper.
    fn fits(&self, node: &Node) -> bool {
        match self {
            Self::Any => true,
            Self::Text => matches!(node.value, Value::Text(_)),
            Self::Scalar | Self::Sql | Self::Form(_) | Self::Word(_) => node.scalar().is_some(),
            Self::Boolean => matches!(node.value, Value::Boolean(_)),
            Self::Integer { .. } => node.integer().is_some(),
            Self::Number => node.number().is_some(),
            Self::List(_) => matches!(node.value, Value::List(_)),
            Self::OneOrMore(shape) => matches!(node.value, Value::List(_)) || shape.fits(node),
            Self::Names { .. } | Self::Record(_) => matches!(node.value, Value::Map(_)),
            Self::Either(shapes) => shapes.iter().any(|shape| shape.fits(node)),
            Self::Optional(shape) => node.value == Value::Null || shape.fits(node),
            Self::Template(shape) => shape.fits(node),
        }
    }

    fn wrong_type(&self, node: &Node) -> Diagnostic {
        let message = format!("expected {}, found {}", self.noun(), found(node));
        let diagnostic = Diagnostic::error("wrong-type", message).at(node.span.clone());
        match (self, node.text()) {
            (Self::Boolean, Some("yes" | "Yes" | "on" | "On")) => diagnostic.hint("write `true`"),
            (Self::Boolean, Some("no" | "No" | "off" | "Off")) => diagnostic.hint("write `false`"),
            (Self::Integer { .. } | Self::Number, Some(text)) if text.parse::<f64>().is_ok() => {
                diagnostic.hint("write it without quotes")
            }
            (Self::Text, None) if node.scalar().is_some() => diagnostic.hint("put it in quotes"),
            _ => diagnostic,
        }
    }

    /// What it is, with its article.
    pub fn noun(&self) -> String {
        match self {
            Self::Any => "any value".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Scalar => "a single value".to_owned(),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Integer { .. } => "a whole number".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Sql => "an SQL expression".to_owned(),
            Self::Form(form) => form.noun.to_owned(),
            Self::Word(words) => one_of(words),
            Self::List(_) => "a list".to_owned(),
            Self::OneOrMore(shape) => format!("{} or a list", shape.noun()),
            Self::Names { noun, .. } => format!("a mapping with one key per {noun}"),
            Self::Record(record) => format!("a mapping of {}'s keys", with_article(record.noun)),
            Self::Either(shapes) => shapes.iter().map(Self::noun).collect::<Vec<_>>().join(" or "),
            Self::Optional(shape) | Self::Template(shape) => shape.noun(),
        }
    }
}

impl Record {
    fn check(&self, node: &Node, problems: &mut Vec<Diagnostic>) {
        repeated(node, "key", problems);
        for entry in node.entries() {
            match self.all_keys().find(|key| key.name == entry.key.value) {
                Some(key)
                    if entry.value.value == Value::Null && !matches!(key.shape, Shape::Optional(_) | Shape::Any) =>
                {
                    let message = format!("`{}` has no value", key.name);
                    let hint = format!("give {}, or leave the key out", key.shape.noun());
                    problems.push(Diagnostic::error("missing-value", message).at(entry.key.span.clone()).hint(hint));
                }
                Some(key) => key.shape.check(&entry.value, problems),
                None => problems.push(self.unknown(entry)),
            }
        }
        let mut kinds = node.entries().iter().filter(|e| self.kinds.iter().any(|kind| kind.name == e.key.value));
        let first = kinds.next();
        let second = first.and_then(|first| kinds.find(|other| other.key.value != first.key.value));
        if let (Some(first), Some(second)) = (first, second) {
            let (a, b) = (&first.key.value, &second.key.value);
            let noun = with_article(self.noun);
            let message = format!("{noun} is of one kind, and this one has both `{a}` and `{b}`");
            let diagnostic = Diagnostic::error("two-kinds", message).at(second.key.span.clone());
            problems.push(diagnostic.related(first.key.span.clone(), "the other one"));
        }
        if self.kind_required && first.is_none() && !node.entries().iter().any(|e| self.is_unknown(e)) {
            let words: Vec<_> = self.kinds.iter().map(|key| key.name).collect();
            let message = format!("this {} does not say its kind", self.noun);
            let diagnostic = Diagnostic::error("missing-key", message).at(node.span.clone());
            problems.push(diagnostic.hint(format!("add {}", one_of(&words))));
        }
        for key in self.all_keys().filter(|key| key.required) {
            if node.map().is_some_and(|map| map.get(key.name).is_none()) {
                let message = format!("this {} has no `{}`", self.noun, key.name);
                let diagnostic = Diagnostic::error("missing-key", message).at(node.span.clone());
                problems.push(diagnostic.hint(format!("add `{}:` with {}", key.name, key.shape.noun())));
            }
        }
    }

    fn is_unknown(&self, entry: &Entry) -> bool {
        self.all_keys().all(|key| key.name != entry.key.value)
    }

    fn unknown(&self, entry: &Entry) -> Diagnostic {
        let name = &entry.key.value;
        let near_key = nearest(name, self.keys.iter().map(|key| key.name));
        let near_kind = nearest(name, self.kinds.iter().map(|key| key.name));
        let is_mapping = entry.value.map().is_some();
        let is_scalar = entry.value.scalar().is_some();
        if near_key.is_none() && !self.kinds.is_empty() && !is_scalar && (near_kind.is_some() || is_mapping) {
            let message = format!("there is no kind of {} called `{name}`", self.noun);
            let diagnostic = Diagnostic::error("unknown-kind", message).at(entry.key.span.clone());
            let words: Vec<_> = self.kinds.iter().map(|key| key.name).collect();
            return match near_kind {
                Some(_) => diagnostic.did_you_mean(near_kind),
                None => diagnostic.hint(format!("the kinds are {}", listed(&words))),
            };
        }
        let message = format!("{} has no key `{name}`", with_article(self.noun));
        let diagnostic = Diagnostic::error("unknown-key", message).at(entry.key.span.clone());
        let near = near_key.or(near_kind);
        match near {
            Some(_) => diagnostic.did_you_mean(near),
            None => {
                let words: Vec<_> = self.keys.iter().map(|key| key.name).collect();
                diagnostic.hint(format!("its keys are {}", listed(&words)))
            }
        }
    }
}

/// Keys that are written twice in one mapping.
fn repeated(node: &Node, noun: &str, problems: &mut Vec<Diagnostic>) {
    let mut seen: std::collections::HashMap<&str, &Entry> = std::collections::HashMap::new();
    for entry in node.entries() {
        if let Some(first) = seen.insert(&entry.key.value, entry) {
            let message = format!("{noun} `{}` is written twice", entry.key.value);
            let code = if noun == "step" { "duplicate-step" } else { "duplicate-key" };
            let diagnostic = Diagnostic::error(code, message).at(entry.key.span.clone());
            problems.push(diagnostic.related(first.key.span.clone(), "first written here"));
        }
    }
}

/// Whether a problem is with a text whose variables are not filled in yet.
fn is_template(problem: &Diagnostic) -> bool {
    problem.span.as_ref().is_some_and(|span| span.text().contains("{{"))
}

/// `a step`, `an affinity`.
fn with_article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']) && !noun.starts_with("uni");
    let article = if vowel { "an" } else { "a" };
    format!("{article} {noun}")
}

/// What stands where something else was expected.
fn found(node: &Node) -> String {
    match (&node.value, node.scalar()) {
        (Value::Text(text), _) if text.len() > 40 || text.contains('\n') => "a text".to_owned(),
        (Value::Text(text), _) => format!("the text `{text}`"),
        (_, Some(scalar)) => format!("`{scalar}`"),
        _ => node.kind().to_owned(),
    }
}

fn unknown_word(text: &str, words: &[&str], node: &Node) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("wrong-value", format!("`{text}` is not {}", one_of(words))).at(node.span.clone());
    diagnostic.did_you_mean(nearest(text, words.iter().copied()))
}

/// `a`, `b` or `c`, in backticks.
pub fn one_of(words: &[&str]) -> String {
    joined(words, "or")
}

fn listed(words: &[&str]) -> String {
    joined(words, "and")
}

fn joined(words: &[&str], conjunction: &str) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {conjunction} {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "nothing".to_owned(),
    }
}
