//! Packages: classes, the functions that they bind, and what they depend on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    dependency::PATTERN as DEPENDENCY,
    deployment::OClassDeployment,
    is_default,
    names::{Key, MAX_NAME_BYTES, PackageName},
    quantity::PATTERN as QUANTITY,
    schema::InlineDeployment,
    secret::SecretRef,
    validate::{
        MAX_CLASSES, MAX_DEPENDENCIES, MAX_ENTRIES, MAX_FUNCTIONS, MAX_INLINE_DEPLOYMENTS,
        MAX_SCALE,
    },
};

/// A package as people write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OPackage {
    /// Its name.
    pub name: PackageName,
    /// Its version, a semantic version if dependants are to require one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub version: Option<String>,
    /// Facts for people.
    #[serde(default, skip_serializing_if = "is_default")]
    pub metadata: PackageMetadata,
    /// Its classes, by unique key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_CLASSES))]
    pub classes: Vec<OClass>,
    /// Its functions, by unique key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_FUNCTIONS))]
    pub functions: Vec<OFunction>,
    /// Packages that it needs: `name` or `name@<semver requirement>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_DEPENDENCIES), inner(regex(pattern = DEPENDENCY)))]
    pub dependencies: Vec<String>,
    /// Deployments declared inline; stored as documents of their own that this package owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<InlineDeployment>", length(max = MAX_INLINE_DEPLOYMENTS))]
    pub deployments: Vec<OClassDeployment>,
    /// Labels to filter by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub labels: BTreeMap<String, String>,
}

/// Facts about a package for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PackageMetadata {
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), inner(length(min = 1, max = MAX_NAME_BYTES)))]
    pub tags: Vec<String>,
    /// `true` if what is published under a version must not be replaced: a push of the same version
    /// with other content is refused.
    #[serde(skip_serializing_if = "is_default")]
    pub immutable: bool,
    /// The author's date, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The author's date, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

/// A class: state, and the functions that work on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OClass {
    /// Its key, unique in the package.
    pub key: Key,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its objects hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_spec: Option<StateSpec>,
    /// Its methods, by unique name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES))]
    pub function_bindings: Vec<FunctionBinding>,
    /// Settings for the runtime: sent to clusters as `odgm_config.options`, under the deployment's own
    /// `odgm.options`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub options: BTreeMap<String, String>,
}

/// What the objects of a class hold, and how it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StateSpec {
    /// The keys of an object's state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES))]
    pub key_specs: Vec<KeySpec>,
    /// Where it is kept.
    pub default_provider: String,
    /// How reads relate to writes.
    pub consistency_model: ConsistencyModel,
    /// Whether it outlives the runtime.
    pub persistent: bool,
    /// How it is written.
    pub serialization_format: String,
}

impl Default for StateSpec {
    fn default() -> Self {
        Self {
            key_specs: Vec::new(),
            default_provider: "memory".into(),
            consistency_model: ConsistencyModel::None,
            persistent: false,
            serialization_format: "json".into(),
        }
    }
}

/// One key of an object's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeySpec {
    /// The key.
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub name: String,
    /// Its type, a word for the runtime.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key_type: String,
}

/// How reads of an object's state relate to writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum ConsistencyModel {
    #[default]
    None,
    ReadYourWrite,
    BoundedStaleness,
    Strong,
}

/// A method: a name on a class, bound to a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionBinding {
    /// The method's name, unique in the class.
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub name: String,
    /// The function: a key of this package, or `package.function` of a declared dependency.
    pub function_key: Key,
    /// Who may call it.
    #[serde(default)]
    pub access_modifier: AccessModifier,
    /// Whether it leaves the object's state alone. Older documents say `immutable`.
    #[serde(default, alias = "immutable")]
    pub stateless: bool,
    /// The names of its parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), inner(length(min = 1, max = MAX_NAME_BYTES)))]
    pub parameters: Vec<String>,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccessModifier {
    /// Anyone.
    #[default]
    Public,
    /// Objects of the same package.
    Internal,
    /// Objects of the same class.
    Private,
}

/// A function that classes bind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OFunction {
    /// Its key, unique in the package.
    pub key: Key,
    /// What kind of code it is.
    #[serde(default)]
    pub function_type: FunctionType,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it runs in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub provision_config: ProvisionConfig,
    /// Its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub config: BTreeMap<String, String>,
    /// Variables whose values are secrets of the cluster that it runs on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_ENTRIES))]
    pub secrets: BTreeMap<String, SecretRef>,
}

/// What kind of code a function is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FunctionType {
    /// Part of the runtime.
    Builtin,
    /// A container image.
    #[default]
    Custom,
    /// A composition of other functions.
    Macro,
    /// A name without code of its own.
    Logical,
    /// A WebAssembly module.
    Wasm,
}

/// What a function runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProvisionConfig {
    /// The image of a CUSTOM function.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^\S+$"))]
    pub container_image: Option<String>,
    /// The module of a WASM function.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^\S+$"))]
    pub wasm_module_url: Option<String>,
    /// The port that it listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Calls at once in one replica; 0 is no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub max_concurrency: u32,
    /// Whether it speaks HTTP/2 only.
    #[serde(skip_serializing_if = "is_default")]
    pub need_http2: bool,
    /// Kubernetes quantity, for example `250m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = QUANTITY))]
    pub cpu_request: Option<String>,
    /// Kubernetes quantity, for example `128Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = QUANTITY))]
    pub memory_request: Option<String>,
    /// Kubernetes quantity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = QUANTITY))]
    pub cpu_limit: Option<String>,
    /// Kubernetes quantity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = QUANTITY))]
    pub memory_limit: Option<String>,
    /// The fewest replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MAX_SCALE))]
    pub min_scale: Option<u32>,
    /// The most replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MAX_SCALE))]
    pub max_scale: Option<u32>,
    /// Instructions that one call of a WASM function may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wasm_fuel: Option<u64>,
}
