//! YAML 1.2 into [`Node`]s, one for each document of a stream, from the events of `granit-parser`.
//!
//! Beyond the events this keeps: aliases are expanded under a budget, so a few lines cannot stand
//! for gigabytes; `<<` merges mappings as YAML 1.1 and kubectl do; a tag that is not YAML's own is
//! refused rather than ignored; control characters are refused, because the parser would take a
//! NUL for the end of the text.
//!
//! Bounds: the parser holds the tokens of at most 1,024 characters, the longest text in which it
//! looks for the end of a key. What anchors, aliases and merges copy is bounded for the whole
//! stream, and every other value is charged to the [`Budget`].

use std::{borrow::Cow, collections::BTreeMap};

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{MAX_DEPTH, MAX_NODES, Most, Node, Style, budget::Budget, duplicate_keys, scalar};
use crate::{
    pointer::{self, Step},
    problem::Violation,
    text::{Quoted, clipped},
    validate::MAX_VIOLATIONS,
};

/// The most values that all aliases of a stream may stand for, and that anchors may name.
const MAX_EXPANDED_NODES: usize = 50_000;

/// The most bytes of text that all aliases of a stream may stand for, and that anchors may name.
const MAX_EXPANDED_BYTES: usize = 1 << 20;

/// The most entries that all `<<` of a stream may merge.
const MAX_MERGED_ENTRIES: usize = 50_000;

/// The most anchors of a stream: the parser remembers the name of each.
const MAX_ANCHORS: usize = 10_000;

/// Reads every document of a stream; documents without content are left out. All of them together
/// hold at most what `most` says, and each of them no more than [`MAX_NODES`].
pub(super) fn read(
    text: &str,
    most: Most,
    budget: Budget<'_>,
) -> Result<Vec<Node>, Vec<Violation>> {
    refuse_control_characters(text).map_err(|violation| vec![violation])?;
    let mut builder = Builder::new(most, budget);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let taken = match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                let start = span.tag_start().unwrap_or(span.start);
                builder.take(written(event, &span, text), start)
            }
            Err(error) => Err(at(error.marker(), &error.info())),
        };
        if let Err(message) = taken {
            let pointer = pointer::from_steps(&builder.path());
            builder.violations.push(Violation::new(pointer, message));
            break;
        }
    }
    if builder.violations.is_empty() { Ok(builder.documents) } else { Err(builder.violations) }
}

/// `event`, with the text that was written. The parser reports `~` also where nothing is written,
/// as in `key:`, and there a text is empty.
fn written<'t>(event: Event<'t>, span: &Span, text: &'t str) -> Event<'t> {
    match event {
        Event::Scalar(null, ScalarStyle::Plain, anchor, tag)
            if null == "~" && span.slice(text) != Some("~") =>
        {
            Event::Scalar(Cow::Borrowed(""), ScalarStyle::Plain, anchor, tag)
        }
        event => event,
    }
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

/// What a value costs to repeat.
#[derive(Clone, Copy, Default)]
struct Size {
    n_nodes: usize,
    n_bytes: usize,
    height: usize,
}

impl Size {
    fn of_scalar(node: &Node) -> Self {
        Self { n_nodes: 1, n_bytes: node.as_text().map_or(0, str::len), height: 1 }
    }

    /// Adds `child`, which is one level below.
    fn add_child(&mut self, child: Self) {
        self.n_nodes += child.n_nodes;
        self.n_bytes += child.n_bytes;
        self.height = self.height.max(child.height + 1);
    }

    /// This and `other` beside it, if both may be copied.
    fn copied_with(self, other: Self) -> Option<Self> {
        let n_nodes = self.n_nodes + other.n_nodes;
        let n_bytes = self.n_bytes + other.n_bytes;
        let is_within = n_nodes <= MAX_EXPANDED_NODES && n_bytes <= MAX_EXPANDED_BYTES;
        is_within.then_some(Self { n_nodes, n_bytes, height: 0 })
    }
}

/// A copy of an anchored value.
struct Anchored {
    /// `None` if copies of all anchored values would exceed the limit.
    node: Option<Node>,
    size: Size,
}

/// A sequence or a mapping that is not closed yet.
struct Open {
    anchor: usize,
    size: Size,
    content: Content,
}

impl Open {
    fn new(anchor: usize, content: Content) -> Self {
        Self { anchor, size: Size { n_nodes: 1, n_bytes: 0, height: 1 }, content }
    }
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Box<str>, Node)>, key: Option<Box<str>>, merges: Vec<Node> },
}

/// Makes trees of events, without recursion: depth is a number that is compared.
struct Builder<'b> {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    n_anchors: usize,
    /// What the copies in `anchors` hold.
    anchored: Size,
    n_nodes: usize,
    n_all_nodes: usize,
    most: Most,
    expanded: Size,
    n_merged: usize,
    budget: Budget<'b>,
    violations: Vec<Violation>,
}

impl<'b> Builder<'b> {
    fn new(most: Most, budget: Budget<'b>) -> Self {
        Self {
            documents: Vec::new(),
            open: Vec::new(),
            anchors: BTreeMap::new(),
            n_anchors: 0,
            anchored: Size::default(),
            n_nodes: 0,
            n_all_nodes: 0,
            most,
            expanded: Size::default(),
            n_merged: 0,
            budget,
            violations: Vec::new(),
        }
    }

    fn take(&mut self, event: Event<'_>, marker: Marker) -> Result<(), String> {
        let placed = match event {
            Event::DocumentStart(..) => {
                self.n_nodes = 0;
                // An alias reaches no further back than its own document.
                self.anchors.clear();
                self.anchored = Size::default();
                self.budget.step()
            }
            Event::Scalar(text, style, anchor, tag) => {
                scalar_node(text, style == ScalarStyle::Plain, tag.as_deref()).and_then(|node| {
                    let size = Size::of_scalar(&node);
                    self.close(node, size, anchor)
                })
            }
            Event::Alias(anchor) => self.expand(anchor),
            Event::SequenceStart(_, anchor, tag) => check_tag(tag.as_deref(), "seq")
                .and_then(|()| self.open(Open::new(anchor, Content::Sequence(Vec::new())))),
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map").and_then(|()| {
                    let (entries, merges) = (Vec::new(), Vec::new());
                    self.open(Open::new(anchor, Content::Mapping { entries, key: None, merges }))
                })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close_open(),
            // The last two come only if they are asked for.
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_) => Ok(()),
            _ => Err("a construct that is not known here".to_owned()),
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
        let Some(Open { anchor, size, content }) = self.open.pop() else {
            return Err("an end without a beginning".to_owned());
        };
        let node = match content {
            Content::Sequence(elements) => Node::Sequence(elements.into()),
            Content::Mapping { mut entries, merges, .. } => {
                if self.violations.len() <= MAX_VIOLATIONS {
                    let found = duplicate_keys(&entries, || pointer::from_steps(&self.path()));
                    self.violations.extend(found);
                }
                if !merges.is_empty() {
                    merges.into_iter().try_for_each(|one| self.merge(&mut entries, one))?;
                    keep_first(&mut entries);
                }
                Node::Mapping(entries.into())
            }
        };
        self.close(node, size, anchor)
    }

    /// Adds the entries of `merged`, also those whose keys `entries` has.
    fn merge(&mut self, entries: &mut Vec<(Box<str>, Node)>, merged: Node) -> Result<(), String> {
        match merged {
            Node::Mapping(added) => {
                self.n_merged += added.len();
                if self.n_merged > MAX_MERGED_ENTRIES {
                    return Err(format!("`<<` merges more than {MAX_MERGED_ENTRIES} entries"));
                }
                self.budget.step()?;
                entries.extend(added);
                Ok(())
            }
            Node::Sequence(all) if all.iter().all(|node| matches!(node, Node::Mapping(_))) => {
                all.into_iter().try_for_each(|one| self.merge(entries, one))
            }
            Node::Null | Node::Scalar(_) | Node::Sequence(_) => {
                Err("`<<` merges a mapping or a list of mappings".to_owned())
            }
        }
    }

    /// Puts a complete value where it belongs, and keeps a copy under its anchor.
    fn close(&mut self, node: Node, size: Size, anchor: usize) -> Result<(), String> {
        self.n_nodes += 1;
        if self.n_nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values in one document"));
        }
        self.n_all_nodes += 1;
        if self.n_all_nodes > self.most.nodes {
            return Err(format!("more than {} values", self.most.nodes));
        }
        // A key is charged as such, when it is placed.
        if !self.is_at_key() {
            self.budget.value(node.as_text().map_or(0, str::len))?;
        }
        if anchor > 0 {
            self.n_anchors += 1;
            if self.n_anchors > MAX_ANCHORS {
                return Err(format!("more than {MAX_ANCHORS} anchors"));
            }
            let copied = self.anchored.copied_with(size);
            let node = copied.is_some().then(|| node.clone());
            self.anchored = copied.unwrap_or(self.anchored);
            self.anchors.insert(anchor, Anchored { node, size });
        }
        self.place(node, size)
    }

    /// `true` if the next value is the key of an entry.
    fn is_at_key(&self) -> bool {
        let content = self.open.last().map(|open| &open.content);
        matches!(content, Some(Content::Mapping { key: None, .. }))
    }

    fn expand(&mut self, anchor: usize) -> Result<(), String> {
        let Some(Anchored { node, size }) = self.anchors.get(&anchor) else {
            return Err("an alias to what is not complete: in another document, or itself".into());
        };
        let (Some(node), Some(expanded)) = (node, self.expanded.copied_with(*size)) else {
            return Err(format!(
                "aliases stand for more than {MAX_EXPANDED_NODES} values or {MAX_EXPANDED_BYTES} \
                 bytes, or anchors name more"
            ));
        };
        if self.open.len() + size.height > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}, counting what the alias is for"));
        }
        self.expanded = expanded;
        let (node, size) = (node.clone(), *size);
        self.place(node, size)
    }

    fn place(&mut self, node: Node, size: Size) -> Result<(), String> {
        let Some(open) = self.open.last_mut() else {
            if !node.is_null() {
                self.documents.push(node);
            }
            let max_documents = self.most.documents;
            if self.documents.len() > max_documents {
                return Err(format!("more documents than {max_documents}"));
            }
            return Ok(());
        };
        match &mut open.content {
            Content::Sequence(elements) => {
                open.size.add_child(size);
                elements.push(node);
            }
            Content::Mapping { entries, key, merges } => match key.take() {
                None => {
                    let name = key_text(node)?;
                    self.budget.key(name.len())?;
                    open.size.n_bytes += name.len();
                    *key = Some(name);
                }
                Some(name) => {
                    open.size.add_child(size);
                    if &*name == MERGE_KEY {
                        merges.push(node);
                    } else {
                        entries.push((name, node));
                    }
                }
            },
        }
        Ok(())
    }

    /// Where the next value goes.
    fn path(&self) -> Vec<Step> {
        let steps = self.open.iter().map(|open| match &open.content {
            Content::Sequence(elements) => Some(Step::Index(elements.len())),
            Content::Mapping { key, .. } => key.as_deref().map(|key| Step::Key(key.to_owned())),
        });
        steps.flatten().collect()
    }
}

const MERGE_KEY: &str = "<<";

/// Keeps the first entry of each key. Entries are compared in the order of their keys, so this
/// takes time in proportion to `n log n`.
fn keep_first(entries: &mut Vec<(Box<str>, Node)>) {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    let key = |index: &usize| entries.get(*index).map(|(key, _)| &**key);
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    let mut is_repeated = vec![false; entries.len()];
    for (first, second) in order.iter().zip(order.iter().skip(1)) {
        if key(first) == key(second)
            && let Some(is_repeated) = is_repeated.get_mut(*second)
        {
            *is_repeated = true;
        }
    }
    let mut is_repeated = is_repeated.into_iter();
    entries.retain(|_| !is_repeated.next().unwrap_or_default());
}

fn key_text(node: Node) -> Result<Box<str>, String> {
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
    match tag.suffix() {
        "str" if is_core => Ok(Node::quoted(text)),
        "int" | "float" | "bool" | "null" if is_core => Ok(plain(text)),
        // `! text` is text, whatever it looks like.
        "!" if tag.handle().is_empty() => Ok(Node::quoted(text)),
        _ => Err(unknown_tag(tag)),
    }
}

fn check_tag(tag: Option<&Tag>, want: &str) -> Result<(), String> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix() == want) => Err(unknown_tag(tag)),
        Some(_) | None => Ok(()),
    }
}

fn unknown_tag(tag: &Tag) -> String {
    let name = format!("{}{}", tag.handle(), tag.suffix());
    format!("the tag {} does not fit: only YAML's own are known, as !!str", Quoted(&name))
}
