//! The description as a page for people. It loads nothing and runs nothing: what is there to see is in
//! it, so that it works behind any proxy, and offline.

use std::fmt::{self, Display, Write as _};

use serde_json::{Map, Value};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\
code,pre{font:14px/1.4 ui-monospace,monospace}\
pre{overflow:auto;padding:.75rem;border-radius:.4rem;background:#8881}\
details{border:1px solid #8884;border-radius:.4rem;margin:.4rem 0;padding:0 .75rem}\
summary{cursor:pointer;padding:.4rem 0}\
table{border-collapse:collapse;width:100%}\
td,th{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-top:1px solid #8883}\
.m{display:inline-block;min-width:4.5rem;font-weight:600;text-transform:uppercase}\
.get{color:#2a7ae2}.post{color:#2e9e4f}.put{color:#b7791f}.delete{color:#d64545}";

/// Text in HTML.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The page of an OpenAPI description of ours.
pub(super) fn render(description: &Value) -> String {
    let mut page = String::with_capacity(256 << 10);
    // Writing to a `String` cannot fail.
    let _ = write(&mut page, description);
    page
}

fn write(page: &mut String, description: &Value) -> fmt::Result {
    let title = text(description, "/info/title");
    let version = text(description, "/info/version");
    write!(
        page,
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} {version}</title><style>{STYLE}</style>\
         <h1>{title} <small>{version}</small></h1><p><b>{}</b></p>",
        text(description, "/info/summary")
    )?;
    paragraphs(page, &text(description, "/info/description").to_string())?;
    page.push_str(
        "<p>The same for machines: <a href=\"openapi.json\">openapi.json</a>. For editors: \
         <a href=\"schemas/package.json\">package</a>, \
         <a href=\"schemas/deployment.json\">deployment</a>, \
         <a href=\"schemas/deployments.json\">list of deployments</a>.</p>",
    );
    for tag in elements(description.get("tags")) {
        let name = tag.get("name").and_then(Value::as_str).unwrap_or_default();
        write!(page, "<h2>{}</h2><p>{}</p>", Text(name), text(tag, "/description"))?;
        for (path, methods) in members(description.get("paths")) {
            for (method, operation) in members(Some(methods)) {
                if elements(operation.get("tags")).any(|tag| tag == name) {
                    write_operation(page, method, path, operation)?;
                }
            }
        }
    }
    page.push_str("<h2>Schemas</h2>");
    for (name, schema) in members(description.pointer("/components/schemas")) {
        let title = Text(name);
        write!(page, "<details id=\"{title}\"><summary><code>{title}</code></summary>")?;
        json(page, schema)?;
        page.push_str("</details>");
    }
    page.push_str("</html>");
    Ok(())
}

fn write_operation(page: &mut String, method: &str, path: &str, operation: &Value) -> fmt::Result {
    let method = Text(method);
    write!(
        page,
        "<details id=\"{}\"><summary><span class=\"m {method}\">{method}</span> <code>{}</code> {}",
        text(operation, "/operationId"),
        Text(path),
        text(operation, "/summary"),
    )?;
    if operation.get("deprecated").is_some() {
        page.push_str(" (deprecated)");
    }
    page.push_str("</summary>");
    paragraphs(page, &text(operation, "/description").to_string())?;
    page.push_str("<table>");
    for parameter in elements(operation.get("parameters")) {
        write!(
            page,
            "<tr><td><code>{}</code><td>{}<td>{}<td>",
            text(parameter, "/name"),
            text(parameter, "/in"),
            text(parameter, "/description")
        )?;
        kind(page, parameter.get("schema"))?;
    }
    page.push_str("</table>");
    if let Some(body) = operation.pointer("/requestBody/content/application~1json") {
        page.push_str("<h4>Body: ");
        kind(page, body.get("schema"))?;
        page.push_str("</h4>");
        for (_, example) in members(body.get("examples")) {
            json(page, example.get("value").unwrap_or(&Value::Null))?;
        }
    }
    for (status, response) in members(operation.get("responses")) {
        write!(page, "<details><summary>{}: ", Text(status))?;
        let about = text(response, "/description").to_string();
        let (first, rest) = about.split_once("\n\n").unwrap_or((&about, ""));
        write!(page, "{first}</summary>")?;
        lines(page, rest)?;
        for (media, content) in members(response.get("content")) {
            write!(page, "<p><code>{}</code> ", Text(media))?;
            kind(page, content.get("schema"))?;
            page.push_str("</p>");
            if let Some(example) = content.get("example") {
                json(page, example)?;
            }
        }
        page.push_str("</details>");
    }
    page.push_str("</details>");
    Ok(())
}

/// A schema in a few words: the name of what it refers to, or its type.
fn kind(page: &mut String, schema: Option<&Value>) -> fmt::Result {
    let Some(schema) = schema else { return Ok(()) };
    for options in ["anyOf", "allOf"] {
        for (n, option) in elements(schema.get(options)).enumerate() {
            page.push_str(if n > 0 { " or " } else { "" });
            kind(page, Some(option))?;
        }
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = Text(reference.rsplit('/').next().unwrap_or_default());
        write!(page, "<a href=\"#{name}\"><code>{name}</code></a>")?;
    }
    for (n, word) in elements(schema.get("enum")).enumerate() {
        let word = word.as_str().unwrap_or_default();
        write!(page, "{}<code>{}</code>", if n > 0 { " | " } else { "" }, Text(word))?;
    }
    if schema.get("enum").is_none() {
        write!(page, "{}", text(schema, "/type"))?;
    }
    Ok(())
}

/// Paragraphs of text that is HTML already.
fn paragraphs(page: &mut String, html: &str) -> fmt::Result {
    html.split("\n\n").filter(|paragraph| !paragraph.is_empty()).try_for_each(|paragraph| {
        page.push_str("<p>");
        with_code(page, paragraph)
    })
}

fn lines(page: &mut String, html: &str) -> fmt::Result {
    html.lines().try_for_each(|line| {
        with_code(page, line.trim_start_matches("- "))?;
        write!(page, "<br>")
    })
}

/// Text in which words between backquotes are code.
fn with_code(page: &mut String, html: &str) -> fmt::Result {
    for (n, part) in html.split('`').enumerate() {
        if n % 2 == 0 { write!(page, "{part}")? } else { write!(page, "<code>{part}</code>")? }
    }
    Ok(())
}

fn json(page: &mut String, value: &Value) -> fmt::Result {
    write!(page, "<pre>{}</pre>", Text(&format!("{value:#}")))
}

fn text<'v>(value: &'v Value, pointer: &str) -> Text<'v> {
    Text(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

fn elements(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}
