//! The kinds of things that can be asked for, and where the server keeps them.

use std::{fmt, str::FromStr};

use oprc_client::{Call, Client};
use oprc_models::view::Page;
use serde_json::Value;

use crate::error::Error;

/// A kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Package,
    Deployment,
    Cluster,
    Record,
    Class,
    Function,
    Bundle,
    RoleBinding,
}

/// The names that kinds go by, for messages.
const KINDS: &str = "packages (pkg), deployments (deploy), clusters (cl), records (rec), classes, \
                     functions (fn), bundles, role-bindings (rb)";

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "package" | "packages" | "pkg" => Self::Package,
            "deployment" | "deployments" | "deploy" => Self::Deployment,
            "cluster" | "clusters" | "cl" => Self::Cluster,
            "record" | "records" | "rec" => Self::Record,
            "class" | "classes" => Self::Class,
            "function" | "functions" | "fn" => Self::Function,
            "bundle" | "bundles" => Self::Bundle,
            "role-binding" | "role-bindings" | "rolebindings" | "rb" => Self::RoleBinding,
            _ => return Err(Error::usage(format!("{name:?} is not a kind: want {KINDS}"))),
        })
    }
}

impl fmt::Display for Kind {
    /// The singular, as in `package/shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Package => "package",
            Self::Deployment => "deployment",
            Self::Cluster => "cluster",
            Self::Record => "record",
            Self::Class => "class",
            Self::Function => "function",
            Self::Bundle => "bundle",
            Self::RoleBinding => "role-binding",
        })
    }
}

impl Kind {
    /// For example `packages`.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Package => "packages",
            Self::Deployment => "deployments",
            Self::Cluster => "clusters",
            Self::Record => "records",
            Self::Class => "classes",
            Self::Function => "functions",
            Self::Bundle => "bundles",
            Self::RoleBinding => "role-bindings",
        }
    }

    /// All of the kind. Items are shown whole, with what a newer server says of them.
    pub(crate) fn list(self, client: &Client) -> Call<'_, Page<Value>> {
        match self {
            Self::Package => client.list_packages().read_as(),
            Self::Deployment => client.list_deployments().read_as(),
            Self::Cluster => client.list_clusters().read_as(),
            Self::Record => client.list_records().read_as(),
            Self::Class => client.list_classes().read_as(),
            Self::Function => client.list_functions().read_as(),
            Self::Bundle => client.list_bundles().read_as(),
            Self::RoleBinding => client.list_role_bindings().read_as(),
        }
    }

    /// The one of this name.
    pub(crate) fn get<'a>(
        self,
        client: &'a Client,
        name: &'a str,
    ) -> Result<Call<'a, Value>, Error> {
        Ok(match self {
            Self::Package => client.get_package(name).read_as(),
            Self::Deployment => client.get_deployment(name).read_as(),
            Self::Cluster => client.get_cluster(name).read_as(),
            Self::Record => client.get_record(name).read_as(),
            Self::Bundle => client.get_bundle(name).read_as(),
            Self::RoleBinding => client.get_role_binding(name).read_as(),
            Self::Class | Self::Function => {
                return Err(Error::usage(format!("a {self} is a part of its package")));
            }
        })
    }

    /// A request to delete the one of this name.
    pub(crate) fn delete<'a>(
        self,
        client: &'a Client,
        name: &'a str,
    ) -> Result<Call<'a, Value>, Error> {
        Ok(match self {
            Self::Package => client.delete_package(name).read_as(),
            Self::Deployment => client.delete_deployment(name).read_as(),
            Self::RoleBinding => client.delete_role_binding(name).read_as(),
            Self::Cluster => client.delete_cluster(name).read_as(),
            Self::Record | Self::Class | Self::Function | Self::Bundle => {
                return Err(Error::usage(format!("a {self} cannot be deleted")));
            }
        })
    }

    /// Whether the server has a page for each single one. Classes and functions are parts of
    /// packages: their keys are unique there only.
    pub(crate) fn has_pages(self) -> bool {
        !matches!(self, Self::Class | Self::Function)
    }

    /// The field that names one.
    fn name_field(self) -> &'static str {
        match self {
            Self::Package | Self::Cluster | Self::Bundle | Self::RoleBinding => "name",
            Self::Deployment | Self::Class | Self::Function => "key",
            Self::Record => "id",
        }
    }

    /// The name of `item`; empty where it has none.
    pub(crate) fn name_of(self, item: &Value) -> &str {
        item.get(self.name_field()).and_then(Value::as_str).unwrap_or_default()
    }

    /// What tells `item` from all others of its kind: its name, where need be in its package.
    pub(crate) fn id_of(self, item: &Value) -> String {
        let name = self.name_of(item);
        match self {
            Self::Class | Self::Function => format!("{}.{name}", package_of(item)),
            Self::Record => {
                let cluster = item.get("cluster").and_then(Value::as_str).unwrap_or_default();
                format!("{cluster}/{name}")
            }
            Self::Package | Self::Deployment | Self::Cluster | Self::Bundle | Self::RoleBinding => {
                name.to_owned()
            }
        }
    }
}

/// The package that a class or a function is part of.
pub(crate) fn package_of(item: &Value) -> &str {
    let names = ["package_name", "package"];
    names.iter().find_map(|name| item.get(name).and_then(Value::as_str)).unwrap_or_default()
}

/// One thing, or all of a kind: `packages`, `package shop`, `package/shop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) name: Option<String>,
}

impl Target {
    /// Reads the words of a command line: `KIND`, `KIND NAME` or `KIND/NAME`.
    pub(crate) fn parse(words: &[String]) -> Result<Self, Error> {
        match words {
            [word] => match word.split_once('/') {
                Some((kind, name)) => Self::named(kind, name),
                None => Ok(Self { kind: word.parse()?, name: None }),
            },
            [kind, name] => Self::named(kind, name),
            _ => Err(Error::usage("want KIND, KIND NAME or KIND/NAME")),
        }
    }

    fn named(kind: &str, name: &str) -> Result<Self, Error> {
        if name.is_empty() || name.contains('/') {
            return Err(Error::usage(format!("{name:?} is not a name")));
        }
        Ok(Self { kind: kind.parse()?, name: Some(name.to_owned()) })
    }

    /// The one thing meant.
    pub(crate) fn one(words: &[String]) -> Result<(Kind, String), Error> {
        match Self::parse(words)? {
            Self { kind, name: Some(name) } => Ok((kind, name)),
            Self { kind, name: None } => Err(Error::usage(format!("which {kind}? want a name"))),
        }
    }
}

#[cfg(test)]
mod tests;
