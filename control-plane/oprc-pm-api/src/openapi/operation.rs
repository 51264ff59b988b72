//! One operation, put together.

use oprc_models::{names::ClusterName, schema::Schemas};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::refusals::{self, Refusal};

/// An operation object of OpenAPI.
pub(crate) struct Operation {
    members: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    refusals: Vec<Refusal>,
}

/// The media types that a document is taken in.
const DOCUMENT_TYPES: [&str; 4] =
    ["application/json", "application/yaml", "text/yaml", "text/x-yaml"];

impl Operation {
    /// The operation `id`, one of `tag`, in a sentence.
    pub(super) fn new(id: &str, tag: &str, summary: &str) -> Self {
        let mut members = Map::new();
        members.insert("operationId".to_owned(), id.into());
        members.insert("tags".to_owned(), json!([tag]));
        members.insert("summary".to_owned(), summary.into());
        let parameter = header(
            "X-Correlation-Id",
            "Kept with what is written, logged and answered. Made where it is not given, or is not 1 \
             to 128 of `[A-Za-z0-9-_.:/+=@]`.",
        );
        Self {
            members,
            parameters: vec![parameter],
            responses: Map::new(),
            refusals: refusals::ALWAYS.to_vec(),
        }
    }

    /// With more to say of it.
    pub(super) fn about(mut self, text: &str) -> Self {
        self.members.insert("description".to_owned(), text.into());
        self
    }

    /// Kept for older clients.
    pub(super) fn deprecated(mut self) -> Self {
        self.members.insert("deprecated".to_owned(), true.into());
        self
    }

    /// With a name in the path.
    pub(super) fn path<T: JsonSchema>(
        mut self,
        schemas: &mut Schemas,
        name: &str,
        about: &str,
        example: &str,
    ) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": about,
            "schema": schemas.answered::<T>(), "example": example,
        }));
        self.refuses(refusals::NAMED)
    }

    /// With a generation in the path.
    pub(super) fn generation(mut self, name: &str, about: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": about, "example": 1,
            "schema": { "type": "integer", "minimum": 0 },
        }));
        self
    }

    /// With one of these in the path.
    pub(super) fn choice(mut self, name: &str, values: &[String]) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string", "enum": values },
        }));
        self.refuses(&[(404, "not_found", "There is no such thing.")])
    }

    /// With a query parameter.
    pub(super) fn query(mut self, name: &str, schema: Value, about: &str) -> Self {
        let mut parameter = json!({ "name": name, "in": "query", "description": about });
        parameter["schema"] = schema;
        self.parameters.push(parameter);
        self
    }

    /// With a query parameter that there must be.
    pub(super) fn required(self, name: &str, schema: Value, about: &str) -> Self {
        let mut this = self.query(name, schema, about);
        if let Some(parameter) = this.parameters.last_mut() {
            parameter["required"] = true.into();
        }
        this
    }

    /// With a query parameter that is a text.
    pub(super) fn text(self, name: &str, about: &str) -> Self {
        self.query(name, json!({ "type": "string" }), about)
    }

    /// With a query parameter that is a name.
    pub(super) fn name<T: JsonSchema>(
        self,
        schemas: &mut Schemas,
        name: &str,
        about: &str,
    ) -> Self {
        self.query(name, schemas.answered::<T>(), about)
    }

    /// With a query parameter that is set or not.
    pub(super) fn flag(self, name: &str, about: &str) -> Self {
        self.query(name, json!({ "type": "boolean", "default": false }), about)
    }

    /// With a query parameter that may be given several times.
    pub(super) fn words(self, name: &str, about: &str) -> Self {
        let schema = json!({
            "type": "array", "items": { "type": "string" }, "maxItems": crate::resources::MAX_WORDS,
        });
        self.query(name, schema, about)
    }

    /// With `cluster`, which narrows it down to one.
    pub(super) fn cluster(self, schemas: &mut Schemas) -> Self {
        self.name::<ClusterName>(schemas, "cluster", "This cluster alone.")
    }

    /// A list that can be watched.
    pub(super) fn watchable(self) -> Self {
        self.flag("watch", "Whether to tell what changes, as `GET /api/v1/watch` does.").watched()
    }

    /// Tells what changes, where it is asked for.
    pub(super) fn watched(mut self) -> Self {
        self.parameters.push(header(
            "Last-Event-ID",
            "Of a watch: begin after this event; wins over `since`.",
        ));
        let mut this = self
            .text("since", "Of a watch: begin after this revision, or this event's id.")
            .refuses(refusals::WATCH);
        this.responses.insert(
            "200".to_owned(),
            json!({
                "description": "What changes.", "headers": of(&[]),
                "content": { "text/event-stream": { "schema": { "type": "string" } } },
            }),
        );
        this
    }

    /// A read: how current, and not again what the caller has.
    pub(super) fn reads(self) -> Self {
        self.current().conditional()
    }

    /// A read: how current.
    pub(super) fn current(self) -> Self {
        let schema = json!({
            "type": "string", "enum": ["linearizable", "cached"], "default": "linearizable",
        });
        let about = "`cached` answers from what is known here and now, also while the store is out of \
                     reach; the answer then has the header `Oprc-Stale: true`.";
        self.query("consistency", schema, about).refuses(refusals::READ)
    }

    /// Not again what the caller has.
    pub(super) fn conditional(mut self) -> Self {
        self.parameters.push(header("If-None-Match", "Answered 304 while it has this entity tag."));
        let about = "It still has this entity tag.";
        let unchanged = json!({ "description": about, "headers": of(answer_headers::ETAG) });
        self.responses.insert("304".to_owned(), unchanged);
        self
    }

    /// A read of a list, page by page.
    pub(super) fn pages(self) -> Self {
        let limit = json!({
            "type": "integer", "minimum": 1, "maximum": crate::list::MAX_LIMIT,
            "default": crate::list::DEFAULT_LIMIT,
        });
        let about = "Pass what the page before said as `continue`, with the same filters.";
        self.query("limit", limit, "Items of a page, at most.")
            .text("continue", about)
            .refuses(refusals::PAGED)
            .reads()
    }

    /// A write.
    pub(super) fn writes(mut self) -> Self {
        let about = "Written only while the document has one of these entity tags, in quotes and with commas \
                     in between; `*`: while there is one.";
        self.parameters.push(header("If-Match", about));
        let about = "`*`: written only where there is none.";
        self.parameters.push(header("If-None-Match", about));
        self.unconditional_write().refuses(refusals::CONDITIONAL)
    }

    /// A write that takes no conditions.
    pub(super) fn unconditional_write(self) -> Self {
        self.refuses(refusals::WRITE)
    }

    /// Takes a document.
    pub(super) fn takes(self, schema: &Value, examples: &[(&str, Value)]) -> Self {
        let about = "Whether a key that is not known is a violation and not a warning.";
        let unchanged = "Refuse to replace a document that was changed since it was read, as its \
                         `meta.resource_version` tells.";
        self.body(schema, examples).flag("strict", about).flag("if_unchanged", unchanged)
    }

    /// Takes a body that is no document.
    pub(super) fn takes_simply(self, schema: &Value, example: &Value) -> Self {
        self.body(schema, &[("example", example.clone())])
    }

    fn body(mut self, schema: &Value, examples: &[(&str, Value)]) -> Self {
        let examples: Map<String, Value> = examples
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!({ "value": value })))
            .collect();
        let content: Map<String, Value> = DOCUMENT_TYPES
            .iter()
            .map(|media| ((*media).to_owned(), json!({ "schema": schema, "examples": examples })))
            .collect();
        let body = json!({
            "required": true, "content": content,
            "description": "The document, in UTF-8.",
        });
        self.members.insert("requestBody".to_owned(), body);
        self.refuses(refusals::DOCUMENT)
    }

    /// Is answered like this.
    pub(super) fn answers(self, status: u16, about: &str, schema: Value, example: &Value) -> Self {
        let mut content = json!({ "application/json": { "example": example } });
        content["application/json"]["schema"] = schema;
        self.answers_with(status, about, content, answer_headers::ETAG)
    }

    /// Is answered like this, in content of another type.
    pub(super) fn answers_with(
        mut self,
        status: u16,
        about: &str,
        mut content: Value,
        headers: &[(&str, &str)],
    ) -> Self {
        if let Some(stream) = self.responses.get(&status.to_string()) {
            content["text/event-stream"] = stream["content"]["text/event-stream"].clone();
        }
        self.responses.insert(
            status.to_string(),
            json!({
                "description": about, "headers": of(headers), "content": content,
            }),
        );
        self
    }

    /// Is answered with another place.
    pub(super) fn redirects(mut self, about: &str) -> Self {
        let headers = of(&[("Location", "Where to go on.")]);
        self.responses
            .insert("303".to_owned(), json!({ "description": about, "headers": headers }));
        self
    }

    /// What was created is at `Location`.
    pub(super) fn located(mut self) -> Self {
        if let Some(created) = self.responses.get_mut("201") {
            created["headers"]["Location"] = json!({
                "description": "Where it is.", "schema": { "type": "string" },
            });
        }
        self
    }

    /// The name in an answer is one that other operations take.
    pub(super) fn leads_to(mut self, statuses: &[u16], at: &str, to: &[(&str, &str)]) -> Self {
        for status in statuses {
            let Some(response) = self.responses.get_mut(&status.to_string()) else { continue };
            for (operation, parameter) in to {
                response["links"][*operation] = json!({
                    "operationId": operation,
                    "parameters": { *parameter: format!("$response.body#{at}") },
                });
            }
        }
        self
    }

    /// May be refused like this, too.
    pub(super) fn refuses(mut self, refusals: &[Refusal]) -> Self {
        self.refusals.extend_from_slice(refusals);
        self
    }

    /// Asks who the caller is, where callers have to say so.
    pub(super) fn guarded(mut self) -> Self {
        self.members.insert("security".to_owned(), json!([{ "token": [] }, {}]));
        self.refuses(refusals::GUARDED)
    }

    pub(super) fn into_value(mut self) -> Value {
        refusals::add(&mut self.responses, &self.refusals);
        self.members.insert("parameters".to_owned(), self.parameters.into());
        self.members.insert("responses".to_owned(), self.responses.into());
        self.members.into()
    }
}

/// Headers of answers, with what they say.
pub(super) mod answer_headers {
    /// What reads and writes of documents have.
    pub(in crate::openapi) const ETAG: &[(&str, &str)] = &[
        ("ETag", "The entity tag: for `If-None-Match` of a read, `If-Match` of a write."),
        ("Oprc-Stale", "`true`: the answer may be behind the store."),
    ];
}

/// The header objects of an answer.
pub(super) fn of(headers: &[(&str, &str)]) -> Value {
    let id = ("X-Correlation-Id", "The request's correlation id.");
    let object = |(name, about): (&str, &str)| {
        (name.to_owned(), json!({ "description": about, "schema": { "type": "string" } }))
    };
    Value::Object(headers.iter().copied().chain([id]).map(object).collect())
}

fn header(name: &str, about: &str) -> Value {
    json!({ "name": name, "in": "header", "description": about, "schema": { "type": "string" } })
}
