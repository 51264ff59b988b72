//! JSON Schema (2020-12) of documents: what people may write, and what is answered.
//!
//! Both come from the types, with two views of them. What is *written* is read leniently, so its schema
//! takes a number where a text is wanted and null where nothing is; what is *answered* is exact.
//!
//! A schema never refuses what the server takes. The reverse cannot be: that two keys are the same, or
//! that a binding's function is not there, no schema says.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use crate::{
    deployment::OClassDeployment, document::Kind, names, package::OPackage, role::RoleBinding,
    validate::MAX_DEPLOYMENTS,
};

mod enums;
mod lenient;
mod merge;
mod titles;

#[cfg(test)]
mod tests;

pub(crate) use merge::merged;

/// Makes the schema of one kind of document.
pub type Make = fn() -> Value;

/// The documents that have a schema, by the names they go by, and what makes it.
pub const KINDS: [(&str, Make); 4] = [
    ("package", || of_document(Kind::Package)),
    ("deployment", || of_document(Kind::Deployment)),
    ("deployments", || of_document(Kind::Deployments)),
    ("role-binding", || of_document(Kind::RoleBinding)),
];

/// Where definitions stand in an OpenAPI description.
const COMPONENTS: &str = "/components/schemas";

/// The schema of a document as people write it: by itself, for editors and checkers.
#[must_use]
pub fn of_document(kind: Kind) -> Value {
    match kind {
        Kind::Package => of::<OPackage>(),
        Kind::Deployment => of::<OClassDeployment>(),
        Kind::Deployments => of::<DeploymentList>(),
        Kind::RoleBinding => of::<RoleBinding>(),
    }
}

fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut root = settings.into_generator().into_root_schema_for::<T>().to_value();
    lenient::relax(&mut root);
    root
}

/// Collects the schemas that an OpenAPI description refers to.
#[derive(Debug)]
pub struct Schemas {
    written: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = COMPONENTS.into();
                settings.meta_schema = None;
            })
        };
        Self {
            written: settings().for_deserialize().into_generator(),
            answered: settings().for_serialize().into_generator(),
        }
    }
}

impl Schemas {
    /// A reference to the schema of `T` as it is written.
    pub fn written<T: JsonSchema>(&mut self) -> Value {
        let mut schema = self.written.subschema_for::<T>().to_value();
        rename(&mut schema, &written_name);
        schema
    }

    /// A reference to the schema of `T` as it is answered.
    pub fn answered<T: JsonSchema>(&mut self) -> Value {
        let mut schema = self.answered.subschema_for::<T>().to_value();
        rename(&mut schema, &titles::of);
        schema
    }

    /// Every schema that was referred to, by name.
    #[must_use]
    pub fn into_definitions(mut self) -> Map<String, Value> {
        let mut definitions = Map::new();
        for (name, mut schema) in self.answered.take_definitions(true) {
            enums::close(&mut schema);
            lenient::forbid_null(&mut schema);
            rename(&mut schema, &titles::of);
            definitions.insert(titles::of(&name), schema);
        }
        for (name, mut schema) in self.written.take_definitions(true) {
            enums::close(&mut schema);
            lenient::relax(&mut schema);
            rename(&mut schema, &written_name);
            definitions.insert(written_name(&name), schema);
        }
        definitions
    }
}

/// The name of a type's schema as it is written, beside that of its answers.
fn written_name(name: &str) -> String {
    format!("{}Input", titles::of(name))
}

/// Makes references those to `name` of what they refer to.
fn rename(schema: &mut Value, name: &dyn Fn(&str) -> String) {
    match schema {
        Value::Object(members) => {
            for (word, member) in members {
                match member {
                    Value::String(reference) if word == "$ref" => {
                        if let Some((path, referred)) = reference.rsplit_once('/') {
                            *reference = format!("{path}/{}", name(referred));
                        }
                    }
                    member => rename(member, name),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| rename(element, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A deployment inside a document that says what it leaves out: its package, and with it its key.
#[derive(Debug)]
pub struct InlineDeployment;

impl JsonSchema for InlineDeployment {
    fn schema_name() -> Cow<'static, str> {
        "InlineDeployment".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = OClassDeployment::json_schema(generator);
        schema.insert("required".to_owned(), json!(["class_key"]));
        schema
    }
}

/// A list of deployments. With classes or functions beside it, it would be a package.
#[derive(Debug)]
pub struct DeploymentList;

impl JsonSchema for DeploymentList {
    fn schema_name() -> Cow<'static, str> {
        "DeploymentList".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let deployment = generator.subschema_for::<InlineDeployment>();
        let name = generator.subschema_for::<String>();
        json_schema!({
            "type": "object",
            "description": "A list of deployments, each as if it were pushed by itself. With classes \
                            or functions it would be a package.",
            "properties": {
                "deployments": {
                    "type": "array",
                    "description": "The deployments.",
                    "items": deployment,
                    "maxItems": MAX_DEPLOYMENTS,
                },
                "name": name,
                "package_name": name,
                "classes": { "type": "array", "items": { "type": "object" }, "maxItems": 0 },
                "functions": { "type": "array", "items": { "type": "object" }, "maxItems": 0 },
            },
            "required": ["deployments"],
        })
    }
}

/// The pattern of names that hold no dot, so that a number with one is none.
fn is_label(pattern: &str) -> bool {
    pattern == names::LABEL_PATTERN.0
}
