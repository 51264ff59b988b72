//! Reading a unit from a body: every violation, not the first.
//!
//! Each field is read on its own, so that one wrong field does not hide another. Unknown fields are
//! ignored: a newer Package Manager may say more than this CRM acts on. A field that is `null` is
//! absent.

use oprc_models::{
    deployment::{NfrRequirements, TelemetryConfig},
    meta::Timestamp,
    names::{ClusterName, DeploymentKey, Key, PackageName, UnitId},
    nulls::NullIsAbsent,
    package::{FunctionBinding, StateSpec},
    problem::Violation,
    unit::{DeploymentUnit, UnitFunction, UnitOdgmConfig},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

#[cfg(test)]
mod tests;

/// The most functions of one unit, so that its record fits into a transaction with it.
const MAX_FUNCTIONS: usize = 256;
/// The longest owner and the longest hash, in bytes.
const MAX_WORD_BYTES: usize = 253;
/// The most violations that are told at once.
const MAX_VIOLATIONS: usize = 100;

/// The unit in `body`.
///
/// # Errors
///
/// Every violation, up to a hundred; never none.
pub(crate) fn parse(body: &[u8]) -> Result<DeploymentUnit, Vec<Violation>> {
    let document: Value = serde_json::from_slice(body)
        .map_err(|err| vec![Violation::new("", format!("not JSON: {err}"))])?;
    let Value::Object(fields) = document else {
        return Err(vec![Violation::new("", "want an object: a deployment unit")]);
    };
    let mut reader = Reader { fields, violations: Vec::new() };
    let unit = reader.unit();
    if let Some(unit) = &unit {
        reader.violations.extend(violations(unit));
    }
    match unit {
        Some(unit) if reader.violations.is_empty() => Ok(unit),
        Some(_) | None => {
            reader.violations.truncate(MAX_VIOLATIONS);
            Err(reader.violations)
        }
    }
}

struct Reader {
    fields: Map<String, Value>,
    violations: Vec<Violation>,
}

impl Reader {
    fn unit(&mut self) -> Option<DeploymentUnit> {
        // All are read before any is missed: `?` comes after the last.
        let id = self.required::<UnitId>("id");
        let deployment_key = self.required::<DeploymentKey>("deployment_key");
        let package_name = self.required::<PackageName>("package_name");
        let class_key = self.required::<Key>("class_key");
        let package_version = self.optional::<String>("package_version");
        let target_env = self.required::<ClusterName>("target_env");
        let generation = self.required::<u64>("generation");
        let spec_hash = self.required::<String>("spec_hash");
        let owner = self.required::<String>("owner");
        let functions = self.each::<UnitFunction>("functions");
        let function_bindings = self.each::<FunctionBinding>("function_bindings");
        let state_spec = self.optional::<StateSpec>("state_spec");
        let odgm_config = self.optional::<UnitOdgmConfig>("odgm_config");
        let selected_template = self.optional::<String>("selected_template");
        let telemetry = self.optional::<TelemetryConfig>("telemetry");
        let nfr_requirements = self.optional::<NfrRequirements>("nfr_requirements");
        let restart = self.optional::<u64>("restart");
        let created_at = self.required::<Timestamp>("created_at");
        Some(DeploymentUnit {
            id: id?,
            deployment_key: deployment_key?,
            package_name: package_name?,
            class_key: class_key?,
            package_version,
            target_env: target_env?,
            generation: generation?,
            spec_hash: spec_hash?,
            owner: owner?,
            functions,
            function_bindings,
            state_spec,
            odgm_config,
            selected_template,
            telemetry,
            nfr_requirements: nfr_requirements.unwrap_or_default(),
            restart,
            created_at: created_at?,
        })
    }

    fn required<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        if let Some(value) = self.fields.remove(name) {
            return self.read(format!("/{name}"), value);
        }
        self.violations.push(Violation::new(format!("/{name}"), "is missing"));
        None
    }

    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.fields.remove(name).filter(|value| !value.is_null())?;
        self.read(format!("/{name}"), value)
    }

    fn each<T: DeserializeOwned>(&mut self, name: &str) -> Vec<T> {
        let elements = match self.fields.remove(name) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(elements)) => elements,
            Some(_) => {
                self.violations.push(Violation::new(format!("/{name}"), "want an array"));
                return Vec::new();
            }
        };
        let elements = elements.into_iter().enumerate();
        elements.filter_map(|(index, value)| self.read(format!("/{name}/{index}"), value)).collect()
    }

    fn read<T: DeserializeOwned>(&mut self, pointer: String, value: Value) -> Option<T> {
        match serde_path_to_error::deserialize(NullIsAbsent(value)) {
            Ok(value) => Some(value),
            Err(err) => {
                let pointer = pointer + &pointer_of(err.path());
                self.violations.push(Violation { pointer, message: err.inner().to_string() });
                None
            }
        }
    }
}

/// A path as a JSON pointer (RFC 6901).
fn pointer_of(path: &serde_path_to_error::Path) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(step).collect()
}

/// What is wrong with a unit whose fields can be read.
fn violations(unit: &DeploymentUnit) -> Vec<Violation> {
    let mut found = Vec::new();
    if unit.generation == 0 {
        found.push(Violation::new("/generation", "want at least 1"));
    }
    for (pointer, word) in [("/owner", &unit.owner), ("/spec_hash", &unit.spec_hash)] {
        if !is_word(word) {
            let want = format!("want 1 to {MAX_WORD_BYTES} visible ASCII characters");
            found.push(Violation::new(pointer, want));
        }
    }
    if unit.functions.len() > MAX_FUNCTIONS {
        found.push(Violation::new("/functions", format!("want at most {MAX_FUNCTIONS}")));
    }
    let mut keys = std::collections::BTreeSet::new();
    for (index, function) in unit.functions.iter().enumerate() {
        if !keys.insert(&function.key) {
            let message = format!("{} is there twice", function.key);
            found.push(Violation::new(format!("/functions/{index}/key"), message));
        }
        let replicas = function.replicas;
        let is_bounded = replicas.max.is_none_or(|max| replicas.target <= max);
        if replicas.min > replicas.target || !is_bounded {
            let pointer = format!("/functions/{index}/replicas");
            found.push(Violation::new(pointer, "want min <= target <= max"));
        }
    }
    found
}

/// Whether `word` can travel in a header and be part of a key.
pub(crate) fn is_word(word: &str) -> bool {
    (1..=MAX_WORD_BYTES).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic())
}
