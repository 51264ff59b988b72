//! Roles: what each may do, and the documents that bind them to people. No decision here looks at
//! who asks.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    names::{BindingName, MAX_NAME_BYTES, PackageName},
    validate::MAX_ENTRIES,
};

/// What someone may be.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything but role bindings.
    Viewer,
    /// Reads, and writes packages.
    Developer,
    /// Reads, and writes deployments.
    Deployer,
    /// Reads, and removes registrations of clusters.
    Operator,
    /// Does everything; role bindings too, unless limited to some packages.
    Admin,
}

/// Words of an enumeration: as they are written, for people and in queries.
macro_rules! words {
    ($type:ident, $what:literal, [$($variant:ident = $word:literal $(| $other:literal)*),+ $(,)?]) => {
        impl $type {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word $(| $other)* => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: $what, want: &[$($word),+] }),
                }
            }
        }
    };
}

/// A word that is none of those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: want one of {}", want.join(", "))]
pub struct UnknownWord {
    what: &'static str,
    want: &'static [&'static str],
}

words!(
    Role,
    "role",
    [
        Viewer = "viewer",
        Developer = "developer",
        Deployer = "deployer",
        Operator = "operator",
        Admin = "admin",
    ]
);

/// What is done to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Delete,
}

words!(
    Verb,
    "verb",
    [
        Get = "get",
        List = "list",
        Watch = "watch",
        Create = "create",
        Update = "update",
        Delete = "delete",
    ]
);

impl Verb {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// Kinds of things that roles speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Kind {
    Package,
    Deployment,
    Cluster,
    Record,
    Class,
    Function,
    Event,
    RoleBinding,
}

words!(
    Kind,
    "kind",
    [
        Package = "packages" | "package" | "pkg",
        Deployment = "deployments" | "deployment" | "deploy",
        Cluster = "clusters" | "cluster" | "cl",
        Record = "records" | "record" | "rec" | "deployment-records",
        Class = "classes" | "class",
        Function = "functions" | "function" | "fn",
        Event = "events" | "event" | "ev",
        RoleBinding = "role-bindings" | "role-binding" | "rolebindings" | "rb",
    ]
);

impl Kind {
    /// Whether each one of them belongs to a package, so that the patterns of a binding decide.
    #[must_use]
    pub fn is_of_package(self) -> bool {
        !matches!(self, Self::Cluster | Self::RoleBinding)
    }
}

impl Role {
    /// Whether whoever is this may do `verb` to a `kind`, where its binding reaches.
    #[must_use]
    pub fn permits(self, verb: Verb, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Admin, _) => true,
            (_, Kind::RoleBinding) => false,
            (_, _) if verb.is_read() => true,
            (Self::Developer, Kind::Package)
            | (Self::Deployer, Kind::Deployment)
            | (Self::Operator, Kind::Cluster) => true,
            (Self::Viewer | Self::Developer | Self::Deployer | Self::Operator, _) => false,
        }
    }

    /// The roles that would do for `verb` on a `kind`, the least of them first.
    pub fn that_permit(verb: Verb, kind: Kind) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |role| role.permits(verb, kind))
    }
}

/// Which packages a binding is for: a name (`shop`), the beginning of names (`shop-*`), or all (`*`).
///
/// A `*` stands at the end or not at all. So what a pattern names is one range of an ordered map:
/// a list costs what it shows, and looks at nothing that its caller may not see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Box<str>);

/// A text that is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a pattern: want a package's name, the beginning of names and a `*` (`shop-*`), or `*`"
)]
pub struct InvalidPattern;

impl Pattern {
    /// All packages.
    #[must_use]
    pub fn all() -> Self {
        Self("*".into())
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the names begin with, where it is the beginning that counts.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }

    /// Whether it is for every package.
    #[must_use]
    pub fn is_all(&self) -> bool {
        &*self.0 == "*"
    }

    /// Whether it is for `package`.
    #[must_use]
    pub fn matches(&self, package: &PackageName) -> bool {
        match self.prefix() {
            Some(prefix) => package.as_str().starts_with(prefix),
            None => package.as_str() == &*self.0,
        }
    }

    /// Whether it is for every package that `other` is for.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match self.prefix() {
            Some(prefix) => other.prefix().unwrap_or(&other.0).starts_with(prefix),
            None => self == other,
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let beginning = text.strip_suffix('*').unwrap_or(text);
        let is_pattern = text == "*" || beginning.parse::<PackageName>().is_ok();
        let is_short = text.len() <= MAX_NAME_BYTES;
        if is_pattern && is_short { Ok(Self(text.into())) } else { Err(InvalidPattern) }
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;
    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.into()
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A package's name, the beginning of names and a `*`, or `*` for all.",
            "minLength": 1,
            "maxLength": MAX_NAME_BYTES,
            "pattern": r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*\*?)$",
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn all_packages() -> Vec<Pattern> {
    vec![Pattern::all()]
}

/// The kind of credential that shows a subject.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// A bearer token.
    Token,
    /// A client certificate.
    Certificate,
}

/// Who has a role, and for which packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleBinding {
    /// Its name.
    pub name: BindingName,
    /// The role.
    pub role: Role,
    /// Those who have it, as their tokens name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), inner(length(min = 1, max = MAX_NAME_BYTES)), extend("uniqueItems" = true))]
    pub subjects: Vec<String>,
    /// Kind of credential that the subjects must show; any, where it does not say. Tokens and
    /// certificates share one space of subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_kind: Option<SubjectKind>,
    /// Groups whose members have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ENTRIES), inner(length(min = 1, max = MAX_NAME_BYTES)), extend("uniqueItems" = true))]
    pub groups: Vec<String>,
    /// The packages that it is for; all of them where it does not say.
    #[serde(default = "all_packages")]
    #[schemars(length(min = 1, max = MAX_ENTRIES), extend("uniqueItems" = true))]
    pub packages: Vec<Pattern>,
}

impl RoleBinding {
    /// Whether it is for every package.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        self.packages.iter().any(Pattern::is_all)
    }
}

#[cfg(test)]
mod tests;
