//! The operations: a line each makes the method and its entry in [`OPERATIONS`], so that neither can
//! be without the other.

use oprc_models::{
    access::{Verdict, WhoAmI},
    bundle::Bundle,
    cluster::ClusterSpec,
    deployment::OClassDeployment,
    difference::Difference,
    history::{Revision, Was},
    package::OPackage,
    role::RoleBinding,
    view::DeploymentStatus,
    view::{
        Beside, Binding, Class, Cluster, ClusterHealth, Deployment, Event, Function, Package, Page,
        Record, Versions, Written,
    },
};
use reqwest::Method;

use crate::{call::Call, client::Client};

/// One operation of the interface.
#[derive(Debug)]
pub struct Operation {
    /// Its name in the server's description, for example `getPackage`.
    pub id: &'static str,
    /// Its method.
    pub method: Method,
    /// Its path, for example `/api/v1/packages/{name}`.
    pub path: &'static str,
    /// The query parameters that it has.
    pub query: &'static [&'static str],
    /// Whether a document is sent with it.
    pub has_body: bool,
    /// Whether a body reads as the type that it answers with.
    pub reads: fn(&[u8]) -> Result<(), serde_json::Error>,
    /// What it is about, for people.
    noun: &'static str,
}

impl Operation {
    /// What a call of it with these names is about: `package/shop`, or `packages`.
    pub(crate) fn subject(&self, names: &[&str]) -> String {
        let names = names.iter().flat_map(|name| ["/", name]);
        std::iter::once(self.noun).chain(names).collect()
    }

    /// The segments of its path, with the names in their places.
    pub(crate) fn segments<'a>(&'a self, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        let mut names = names.iter().copied();
        self.path.split('/').skip(1).map(move |segment| {
            let name = if segment.starts_with('{') { names.next() } else { None };
            name.unwrap_or(segment)
        })
    }
}

macro_rules! operations {
    ($(
        $(#[$doc:meta])*
        $method:ident $path:literal [$($query:literal),*]
            = $id:literal $name:ident($($segment:ident),* $(; $document:ident)?) -> $answer:ty,
            about $noun:literal;
    )*) => {
        mod entries {
            #![expect(non_upper_case_globals, reason = "each is named as its method is")]
            use super::*;
            $(
                pub(super) static $name: Operation = Operation {
                    id: $id,
                    method: Method::$method,
                    path: $path,
                    query: &[$($query),*],
                    has_body: false $(|| !stringify!($document).is_empty())?,
                    reads: |body| serde_json::from_slice::<$answer>(body).map(drop),
                    noun: $noun,
                };
            )*
        }

        /// Every operation that a [`Client`] has.
        pub static OPERATIONS: &[&Operation] = &[$(&entries::$name),*];

        impl Client {
            $(
                $(#[$doc])*
                pub fn $name<'a>(
                    &'a self $(, $segment: &'a str)* $(, $document: &str)?
                ) -> Call<'a, $answer> {
                    let document: Option<&str> = None $(.or(Some($document)))?;
                    Call::new(self, &entries::$name, vec![$($segment),*], document)
                }
            )*
        }
    };
}

operations! {
    /// Creates or replaces all that `documents` declare (a stream of YAML, or JSON), or nothing; with
    /// `bundle`, as the documents of that bundle.
    POST "/api/v1/apply" [
        "bundle", "prune", "allow_empty", "force", "dry_run", "strict", "if_unchanged", "source_repository", "source_commit"
    ] = "apply" apply(; documents) -> serde_json::Value, about "apply";
    /// What was pushed as bundles.
    GET "/api/v1/bundles" ["name", "limit", "continue", "consistency"]
        = "listBundles" list_bundles() -> Page<Bundle>, about "bundles";
    /// What was pushed as the bundle `name`.
    GET "/api/v1/bundles/{name}" ["consistency"]
        = "getBundle" get_bundle(name) -> Bundle, about "bundle";
    /// The packages.
    GET "/api/v1/packages" [
        "name", "tag", "label", "bundle", "watch", "since", "limit", "continue", "consistency"
    ]
        = "listPackages" list_packages() -> Page<Package>, about "packages";
    /// The package `name`; with `version`, what is published of it, a
    /// [`PublishedPackage`](oprc_models::view::PublishedPackage).
    GET "/api/v1/packages/{name}" ["version", "consistency"]
        = "getPackage" get_package(name) -> Package, about "package";
    /// What is published of the package `name`.
    GET "/api/v1/packages/{name}/versions" ["consistency"]
        = "listPackageVersions" list_package_versions(name) -> Versions, about "package";
    /// Creates the package that `document` (in YAML or JSON) declares; one that is there and differs
    /// is left alone.
    POST "/api/v1/packages" ["strict", "if_unchanged"]
        = "createPackage" create_package(; document) -> Written<OPackage>, about "package";
    /// Creates or replaces the package `name`.
    PUT "/api/v1/packages/{name}" ["strict", "if_unchanged"]
        = "replacePackage" replace_package(name; document) -> Written<OPackage>, about "package";
    /// Asks for the deletion of the package `name`; with `cascade`, of what depends on it too.
    DELETE "/api/v1/packages/{name}" ["cascade", "dry_run"]
        = "deletePackage" delete_package(name) -> Written<OPackage>, about "package";
    /// Who the caller is to the server.
    GET "/api/v1/whoami" [] = "whoAmI" who_am_i() -> WhoAmI, about "whoami";
    /// Whether the caller may do `verb` to a `kind`.
    GET "/api/v1/can-i" ["verb", "kind", "name", "package_name"]
        = "canI" can_i() -> Verdict, about "can-i";
    /// The role bindings.
    GET "/api/v1/role-bindings" ["name", "subject", "group", "limit", "continue", "consistency"]
        = "listRoleBindings" list_role_bindings() -> Page<Binding>, about "role-bindings";
    /// The role binding `name`.
    GET "/api/v1/role-bindings/{name}" ["consistency"]
        = "getRoleBinding" get_role_binding(name) -> Binding, about "role-binding";
    /// Creates the role binding that `document` declares; one that is there and differs is left alone.
    POST "/api/v1/role-bindings" ["strict", "if_unchanged"]
        = "createRoleBinding" create_role_binding(; document) -> Written<RoleBinding>,
        about "role-binding";
    /// Creates or replaces the role binding `name`.
    PUT "/api/v1/role-bindings/{name}" ["strict", "if_unchanged"]
        = "replaceRoleBinding" replace_role_binding(name; document) -> Written<RoleBinding>,
        about "role-binding";
    /// Removes the role binding `name`.
    DELETE "/api/v1/role-bindings/{name}" ["dry_run"]
        = "deleteRoleBinding" delete_role_binding(name) -> Written<RoleBinding>,
        about "role-binding";
    /// The deployments.
    GET "/api/v1/deployments" [
        "name", "package_name", "class_key", "target_env", "condition", "label", "bundle", "watch",
        "since", "limit", "continue", "consistency"
    ] = "listDeployments" list_deployments() -> Page<Deployment>, about "deployments";
    /// The deployment `key`.
    GET "/api/v1/deployments/{key}" ["consistency"]
        = "getDeployment" get_deployment(key) -> Deployment, about "deployment";
    /// Creates the deployment that `document` declares; one that is there and differs is left alone.
    POST "/api/v1/deployments" ["strict", "if_unchanged"]
        = "createDeployment" create_deployment(; document) -> Written<OClassDeployment>,
        about "deployment";
    /// Creates or replaces the deployment `key`.
    PUT "/api/v1/deployments/{key}" ["strict", "if_unchanged"]
        = "replaceDeployment" replace_deployment(key; document) -> Written<OClassDeployment>,
        about "deployment";
    /// Asks for the deletion of the deployment `key`; with `cluster`, from that cluster alone.
    DELETE "/api/v1/deployments/{key}" ["cluster", "force", "dry_run"]
        = "deleteDeployment" delete_deployment(key) -> Written<OClassDeployment>,
        about "deployment";
    /// What the package `name` was, the newest first.
    GET "/api/v1/packages/{name}/revisions" []
        = "listPackageRevisions" list_package_revisions(name) -> Page<Revision>, about "package";
    /// The package `name` as it was at `generation`.
    GET "/api/v1/packages/{name}/revisions/{generation}" []
        = "getPackageRevision" get_package_revision(name, generation) -> Beside<OPackage, Was>,
        about "package";
    /// What differs between two generations of the package `name`.
    GET "/api/v1/packages/{name}/revisions/{from}/diff/{to}" []
        = "diffPackageRevisions" diff_package_revisions(name, from, to) -> Difference,
        about "package";
    /// Brings back what the package `name` was: `document` is `{generation: N}`.
    POST "/api/v1/packages/{name}/rollback" []
        = "rollbackPackage" rollback_package(name; document) -> Written<OPackage>,
        about "package";
    /// What the deployment `key` was, the newest first.
    GET "/api/v1/deployments/{key}/revisions" []
        = "listDeploymentRevisions" list_deployment_revisions(key) -> Page<Revision>,
        about "deployment";
    /// The deployment `key` as it was at `generation`.
    GET "/api/v1/deployments/{key}/revisions/{generation}" []
        = "getDeploymentRevision" get_deployment_revision(key, generation)
            -> Beside<OClassDeployment, Was>,
        about "deployment";
    /// What differs between two generations of the deployment `key`.
    GET "/api/v1/deployments/{key}/revisions/{from}/diff/{to}" []
        = "diffDeploymentRevisions" diff_deployment_revisions(key, from, to) -> Difference,
        about "deployment";
    /// Brings back what the deployment `key` was: `document` is `{generation: N}`.
    POST "/api/v1/deployments/{key}/rollback" []
        = "rollbackDeployment" rollback_deployment(key; document) -> Written<OClassDeployment>,
        about "deployment";
    /// Has nothing of the deployment `key` sent to any cluster.
    POST "/api/v1/deployments/{key}/pause" []
        = "pauseDeployment" pause_deployment(key) -> Written<OClassDeployment>,
        about "deployment";
    /// Has what waits of the deployment `key` sent.
    POST "/api/v1/deployments/{key}/resume" []
        = "resumeDeployment" resume_deployment(key) -> Written<OClassDeployment>,
        about "deployment";
    /// Has every cluster replace the deployment `key` by the same.
    POST "/api/v1/deployments/{key}/restart" []
        = "restartDeployment" restart_deployment(key) -> Written<OClassDeployment>,
        about "deployment";
    /// How the deployment `id`, or the unit of this id, is.
    GET "/api/v1/deployment-status/{id}" ["cluster", "consistency"]
        = "getDeploymentStatus" get_deployment_status(id) -> DeploymentStatus, about "deployment";
    /// What clusters say that they hold.
    GET "/api/v1/deployment-records" [
        "cluster", "deployment_key", "watch", "since", "limit", "continue", "consistency"
    ]
        = "listRecords" list_records() -> Page<Record>, about "records";
    /// What a cluster says that it holds for the unit `id`.
    GET "/api/v1/deployment-records/{id}" ["cluster", "consistency"]
        = "getRecord" get_record(id) -> Record, about "record";
    /// The clusters.
    GET "/api/v1/clusters" ["name", "watch", "since", "limit", "continue", "consistency"]
        = "listClusters" list_clusters() -> Page<Cluster>, about "clusters";
    /// The health of all clusters.
    GET "/api/v1/clusters/health" ["name", "limit", "continue", "consistency"]
        = "listClusterHealth" list_cluster_health() -> Page<ClusterHealth>, about "clusters";
    /// The cluster `name`.
    GET "/api/v1/clusters/{name}" ["consistency"]
        = "getCluster" get_cluster(name) -> Cluster, about "cluster";
    /// The health of the cluster `name`.
    GET "/api/v1/clusters/{name}/health" ["consistency"]
        = "getClusterHealth" get_cluster_health(name) -> ClusterHealth, about "cluster";
    /// Removes the registration of the cluster `name`.
    DELETE "/api/v1/clusters/{name}" ["force", "dry_run"]
        = "deleteCluster" delete_cluster(name) -> Written<ClusterSpec>, about "cluster";
    /// What was decided and met with, and why.
    GET "/api/v1/events" ["about", "limit", "continue", "consistency"]
        = "listEvents" list_events() -> Page<Event>, about "events";
    /// The classes of all packages.
    GET "/api/v1/classes" ["name", "package_name", "limit", "continue", "consistency"]
        = "listClasses" list_classes() -> Page<Class>, about "classes";
    /// The functions of all packages.
    GET "/api/v1/functions" ["name", "package_name", "limit", "continue", "consistency"]
        = "listFunctions" list_functions() -> Page<Function>, about "functions";
}
