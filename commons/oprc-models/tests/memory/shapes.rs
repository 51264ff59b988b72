//! Texts that cost their sender little and a careless reader much.

use oprc_models::document::Format;

/// A hostile text.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    pub(crate) text: String,
}

/// The size of a stream of documents, in sizes of a document: what the API takes.
const STREAM: usize = 15;

/// Every shape, of about `size` bytes where the shape allows any size.
pub(crate) fn all(size: usize) -> Vec<Shape> {
    let mut shapes = values(size);
    shapes.extend(copies(size));
    shapes.extend(documents(size));
    shapes
}

fn yaml(name: &'static str, text: String) -> Shape {
    Shape { name, format: Format::Yaml, text }
}

fn json(name: &'static str, text: String) -> Shape {
    Shape { name, format: Format::Json, text }
}

/// `open`, as many of `part` as fit `size` bytes, and `close`.
fn filled(open: &str, part: &str, close: &str, size: usize) -> String {
    format!("{open}{}{close}", part.repeat(size / part.len()))
}

fn numbered(n: usize, part: impl Fn(usize) -> String) -> String {
    (0..n).map(part).collect()
}

/// Many small values, or few large ones.
fn values(size: usize) -> Vec<Shape> {
    let key = "k".repeat(size / 2);
    let deep = format!("{}{},", "[".repeat(62), "]".repeat(62));
    vec![
        yaml("yaml: a list of empty lists", filled("[", "[],", "[]]", size)),
        json("json: a list of empty lists", filled("[", "[],", "[]]", size)),
        yaml("yaml: a block list of digits", filled("", "- 1\n", "", size)),
        json("json: a list of digits", filled("[", "1,", "1]", size / 2)),
        yaml("yaml: a mapping of tiny entries", numbered(size / 9, |i| format!("{i}: 1\n"))),
        json(
            "json: a mapping of tiny entries",
            format!("{{{}\"x\":1}}", numbered(size / 10, |i| format!("\"{i}\":1,"))),
        ),
        yaml("yaml: lists 62 deep", filled("[", &deep, "[]]", size)),
        json("json: lists 62 deep", filled("[", &deep, "[]]", size)),
        yaml("yaml: brackets that never close", "[".repeat(size)),
        yaml("yaml: braces with keys that never close", "{a: ".repeat(size / 4)),
        yaml("yaml: indicators of block lists", "- ".repeat(size / 2)),
        yaml(
            "yaml: a long key of many mappings",
            filled(&format!("? {key}\n: ["), "{},", "]", size / 2),
        ),
        json(
            "json: a long key of many mappings",
            filled(&format!("{{\"{key}\":["), "{},", "{}]}", size / 2),
        ),
        yaml("yaml: one text in quotes, of escapes", filled("a: \"", "\\u0041", "\"", size)),
        json("json: one text in quotes, of escapes", filled("{\"a\": \"", "\\u0041", "\"}", size)),
        yaml("yaml: comments", filled("a: 1\n", "# x\n", "", size)),
        yaml("yaml: tags", filled("[", "!!str a,", "]", size)),
    ]
}

/// Anchors, aliases and merges.
fn copies(size: usize) -> Vec<Shape> {
    let nested = |n: usize, values: usize| {
        let anchors = numbered(n, |i| format!("&a{i} ["));
        format!("{anchors}{}{}", "1,".repeat(values), "]".repeat(n))
    };
    let aliases = (0..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, i| {
        let ten = vec![format!("*a{i}"); 10].join(",");
        text + &format!("a{}: &a{} [{ten}]\n", i + 1, i + 1)
    });
    let keys = |n: usize, from: usize| numbered(n, |i| format!("k{}: 1,", from + i));
    let merged = |n: usize| format!("{{{} <<: {{{}}}}}", keys(n, 0), keys(n, n));
    let chain = format!("{}{{{}}}{}", "{<<: ".repeat(60), keys(size / 26, 0), "}".repeat(60));
    vec![
        yaml("yaml: 62 nested anchors around a quarter million values", nested(62, size / 4)),
        yaml("yaml: 62 nested anchors around 700 values", nested(62, 700)),
        yaml(
            "yaml: anchors without aliases",
            format!("[{}]", numbered(size / 10, |i| format!("&a{i} x,"))),
        ),
        yaml("yaml: aliases of aliases", aliases),
        yaml("yaml: keys merged into as many", merged(size / 17)),
        yaml("yaml: fewer keys merged into as many", merged(size / 26)),
        yaml("yaml: keys merged 60 times", chain),
    ]
}

/// Many documents, and documents of many parts.
fn documents(size: usize) -> Vec<Shape> {
    let functions = |n: usize| numbered(n, |i| format!("- key: f{i}\n"));
    let package = |n: usize| format!("name: a\nfunctions:\n{}", functions(n));
    let of = |text: &str| text.repeat(STREAM * size / text.len());
    vec![
        yaml("yaml: tiny documents", filled("", "--- a\n", "", size)),
        yaml("yaml: empty documents", filled("", "---\n", "", size)),
        yaml("yaml: a stream of tiny documents", of("---\nname: a\n")),
        yaml("yaml: a package of tiny functions", package(size / 14)),
        yaml(
            "yaml: a stream of packages of 1,000 tiny functions",
            of(&format!("---\n{}", package(1_000))),
        ),
        yaml(
            "yaml: a stream of packages of 10 functions",
            of(&format!(
                "---\nname: a\nfunctions:\n{}",
                numbered(10, |i| format!(
                    "- key: function-{i}\n  function_type: CUSTOM\n  config:\n    LOG_LEVEL: debug\n"
                ))
            )),
        ),
        yaml(
            "yaml: a package of unknown keys",
            format!("name: a\n{}", numbered(size / 10, |i| format!("k{i}: 1\n"))),
        ),
        yaml(
            "yaml: a package of values of a wrong type",
            format!("name: a\nclasses:\n{}", "- {key: [1]}\n".repeat(size / 13)),
        ),
        yaml(
            "yaml: deployments that lack everything",
            format!("deployments:\n{}", "- {}\n".repeat(size / 5)),
        ),
    ]
}
