//! YAML 1.2 into [`Node`]s, one for each document of a stream, from the events of `saphyr-parser`.
//!
//! Beyond the events this keeps: aliases are expanded under a budget, so a few lines cannot stand
//! for gigabytes; `<<` merges mappings as YAML 1.1 and kubectl do; a tag that is not YAML's own is
//! refused rather than ignored; control characters are refused, because the parser would take a
//! NUL for the end of the text.

use std::{borrow::Cow, collections::BTreeMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{MAX_DEPTH, MAX_NODES, Node, Style, duplicate_keys, scalar};
use crate::{
    pointer::{self, Step},
    problem::Violation,
    text::{Quoted, clipped},
    validate::MAX_VIOLATIONS,
};

/// The most values that all aliases of a stream may stand for.
const MAX_EXPANDED_NODES: usize = 50_000;

/// The most bytes of text that all aliases of a stream may stand for.
const MAX_EXPANDED_BYTES: usize = 1 << 20;

/// Reads every document of a stream; documents without content are left out. All of them together
/// hold at most `max_nodes`, and each of them no more than [`MAX_NODES`].
pub(super) fn read(text: &str, max_nodes: usize) -> Result<Vec<Node>, Vec<Violation>> {
    refuse_control_characters(text).map_err(|violation| vec![violation])?;
    let mut builder = Builder { max_nodes, ..Builder::default() };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let taken = match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => builder.take(event, span.start),
            Err(error) => Err(at(error.marker(), error.info())),
        };
        if let Err(message) = taken {
            let pointer = pointer::from_steps(&builder.path());
            builder.violations.push(Violation::new(pointer, message));
            break;
        }
    }
    if builder.violations.is_empty() { Ok(builder.documents) } else { Err(builder.violations) }
}

/// A message with its place in the text.
fn at(marker: &Marker, message: &str) -> String {
    let (line, column) = (marker.line(), marker.col() + 1);
    format!("{} (line {line} column {column})", clipped(message, 300))
}

fn refuse_control_characters(text: &str) -> Result<(), Violation> {
    let is_refused = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    for (line, content) in text.split('\n').enumerate() {
        if let Some(c) = content.chars().find(|c| is_refused(*c)) {
            let code = u32::from(c);
            let line = line + 1;
            let message = format!("control character U+{code:04X} in the text (line {line})");
            return Err(Violation::new("", message));
        }
    }
    Ok(())
}

/// An anchored value, and what one alias to it costs.
struct Anchored {
    node: Node,
    size: Size,
}

/// What a value costs to repeat.
#[derive(Clone, Copy, Default)]
struct Size {
    n_nodes: usize,
    n_bytes: usize,
    height: usize,
}

impl Size {
    fn of(node: &Node) -> Self {
        let mut size = Self { n_nodes: 1, n_bytes: 0, height: 1 };
        let mut add = |child: Self| {
            size.n_nodes += child.n_nodes;
            size.n_bytes += child.n_bytes;
            size.height = size.height.max(child.height + 1);
        };
        match node {
            Node::Null => {}
            Node::Scalar(scalar) => size.n_bytes = scalar.text.len(),
            Node::Sequence(elements) => elements.iter().for_each(|node| add(Self::of(node))),
            Node::Mapping(entries) => entries.iter().for_each(|(key, node)| {
                add(Self { n_bytes: key.len(), ..Self::default() });
                add(Self::of(node));
            }),
        }
        size
    }
}

/// A sequence or a mapping that is not closed yet.
struct Open {
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(String, Node)>, key: Option<String>, merges: Vec<Node> },
}

/// Makes trees of events, without recursion: depth is a number that is compared.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    n_nodes: usize,
    n_all_nodes: usize,
    max_nodes: usize,
    expanded: Size,
    violations: Vec<Violation>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, marker: Marker) -> Result<(), String> {
        let placed = match event {
            Event::DocumentStart(_) => {
                self.n_nodes = 0;
                // An alias reaches no further back than its own document.
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                scalar_node(text, style == ScalarStyle::Plain, tag.as_deref())
                    .and_then(|node| self.close(node, anchor))
            }
            Event::Alias(anchor) => self.expand(anchor),
            Event::SequenceStart(anchor, tag) => check_tag(tag.as_deref(), "seq")
                .and_then(|()| self.open(Open { anchor, content: Content::Sequence(Vec::new()) })),
            Event::MappingStart(anchor, tag) => check_tag(tag.as_deref(), "map").and_then(|()| {
                let (entries, merges) = (Vec::new(), Vec::new());
                self.open(Open { anchor, content: Content::Mapping { entries, key: None, merges } })
            }),
            Event::SequenceEnd | Event::MappingEnd => self.close_open(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        };
        placed.map_err(|message| at(&marker, &message))
    }

    fn open(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}"));
        }
        self.open.push(open);
        Ok(())
    }

    fn close_open(&mut self) -> Result<(), String> {
        let at = pointer::from_steps(&self.path());
        let Some(Open { anchor, content }) = self.open.pop() else {
            return Err("an end without a beginning".to_owned());
        };
        let node = match content {
            Content::Sequence(elements) => Node::Sequence(elements),
            Content::Mapping { mut entries, merges, .. } => {
                if self.violations.len() <= MAX_VIOLATIONS {
                    self.violations.extend(duplicate_keys(&at, &entries));
                }
                for merged in merges {
                    merge(&mut entries, merged)?;
                }
                Node::Mapping(entries)
            }
        };
        self.close(node, anchor)
    }

    /// Puts a complete value where it belongs, and remembers it under its anchor.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.n_nodes += 1;
        if self.n_nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values in one document"));
        }
        self.n_all_nodes += 1;
        if self.n_all_nodes > self.max_nodes {
            return Err(format!("more than {} values", self.max_nodes));
        }
        if anchor > 0 {
            let size = Size::of(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        self.place(node)
    }

    fn expand(&mut self, anchor: usize) -> Result<(), String> {
        let Some(Anchored { node, size }) = self.anchors.get(&anchor) else {
            return Err("an alias to what is not complete: in another document, or itself".into());
        };
        self.expanded.n_nodes += size.n_nodes;
        self.expanded.n_bytes += size.n_bytes;
        let is_over = self.expanded.n_nodes > MAX_EXPANDED_NODES
            || self.expanded.n_bytes > MAX_EXPANDED_BYTES;
        if is_over {
            return Err(format!(
                "aliases stand for more than {MAX_EXPANDED_NODES} values or {MAX_EXPANDED_BYTES} \
                 bytes"
            ));
        }
        if self.open.len() + size.height > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}, counting what the alias is for"));
        }
        let node = node.clone();
        self.place(node)
    }

    fn place(&mut self, node: Node) -> Result<(), String> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None if node.is_null() => {}
            None => self.documents.push(node),
            Some(Content::Sequence(elements)) => elements.push(node),
            Some(Content::Mapping { entries, key, merges }) => match key.take() {
                None => *key = Some(key_text(node)?),
                Some(name) if name == MERGE_KEY => merges.push(node),
                Some(name) => entries.push((name, node)),
            },
        }
        Ok(())
    }

    /// Where the next value goes.
    fn path(&self) -> Vec<Step> {
        let steps = self.open.iter().map(|open| match &open.content {
            Content::Sequence(elements) => Some(Step::Index(elements.len())),
            Content::Mapping { key, .. } => key.clone().map(Step::Key),
        });
        steps.flatten().collect()
    }
}

const MERGE_KEY: &str = "<<";

/// Adds what `merged` has and `entries` lacks.
fn merge(entries: &mut Vec<(String, Node)>, merged: Node) -> Result<(), String> {
    match merged {
        Node::Mapping(added) => {
            for (key, node) in added {
                if !entries.iter().any(|(present, _)| *present == key) {
                    entries.push((key, node));
                }
            }
            Ok(())
        }
        Node::Sequence(all) if all.iter().all(|node| matches!(node, Node::Mapping(_))) => {
            all.into_iter().try_for_each(|one| merge(entries, one))
        }
        Node::Null | Node::Scalar(_) | Node::Sequence(_) => {
            Err("`<<` merges a mapping or a list of mappings".to_owned())
        }
    }
}

fn key_text(node: Node) -> Result<String, String> {
    match node {
        Node::Scalar(scalar) if !(scalar.style == Style::Plain && scalar.text.is_empty()) => {
            Ok(scalar.text)
        }
        Node::Null | Node::Scalar(_) | Node::Sequence(_) | Node::Mapping(_) => {
            Err(format!("{} as a key: want text", node.describe()))
        }
    }
}

fn scalar_node(text: Cow<'_, str>, is_plain: bool, tag: Option<&Tag>) -> Result<Node, String> {
    let plain = |text: Cow<'_, str>| {
        if scalar::is_null(&text) { Node::Null } else { Node::plain(text) }
    };
    let Some(tag) = tag else {
        return Ok(if is_plain { plain(text) } else { Node::quoted(text) });
    };
    let is_core = tag.is_yaml_core_schema();
    match tag.suffix.as_str() {
        "str" if is_core => Ok(Node::quoted(text)),
        "int" | "float" | "bool" | "null" if is_core => Ok(plain(text)),
        // `! text` is text, whatever it looks like.
        "!" if tag.handle.is_empty() => Ok(Node::quoted(text)),
        _ => Err(unknown_tag(tag)),
    }
}

fn check_tag(tag: Option<&Tag>, want: &str) -> Result<(), String> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == want) => Err(unknown_tag(tag)),
        Some(_) | None => Ok(()),
    }
}

fn unknown_tag(tag: &Tag) -> String {
    let name = format!("{}{}", tag.handle, tag.suffix);
    format!("the tag {} does not fit: only YAML's own are known, as !!str", Quoted(&name))
}
