//! Names of schemas in an OpenAPI description, where they differ from those of our types.
//!
//! Generated clients have a class for each schema, so these are the names of other people's types.

/// Names of types' schemas, and of the schemas in the description.
const TITLES: [(&str, &str); 31] = [
    ("Applied", "PushResult"),
    ("AppliedItem", "PushedDocument"),
    ("AppliedOutcome", "PushOutcome"),
    ("BundleOwned", "BundleDocuments"),
    ("ClusterDocument", "Cluster"),
    ("ClusterHealth", "ReportedHealth"),
    ("ClusterSpecWritten", "WrittenCluster"),
    ("ClusterStatusObserved", "ClusterStatus"),
    ("ComparedDifference", "Comparison"),
    ("DeploymentStatusObserved", "EmbeddedDeploymentStatus"),
    ("HealthWord", "ClusterHealthStatus"),
    ("OClass", "Class"),
    ("OClassDeployment", "Deployment"),
    ("OClassDeploymentDocument", "Deployment"),
    ("OClassDeploymentWas", "DeploymentRevision"),
    ("OClassDeploymentWritten", "WrittenDeployment"),
    ("OClassOfPackage", "ListedClass"),
    ("OFunction", "Function"),
    ("OFunctionOfPackage", "ListedFunction"),
    ("OPackage", "Package"),
    ("OPackageDocument", "Package"),
    ("OPackagePublishedAs", "PublishedPackage"),
    ("OPackageWas", "PackageRevision"),
    ("OPackageWritten", "WrittenPackage"),
    ("ObservedHealth", "ClusterHealth"),
    ("PackageStatusObserved", "PackageStatus"),
    ("RoleBindingDocument", "RoleBinding"),
    ("RoleBindingWritten", "WrittenRoleBinding"),
    ("StoredRecordObserved", "Record"),
    ("TheDeploymentStatus", "DeploymentStatus"),
    ("ToldEvent", "Event"),
];

/// The name of the schema that a type calls `name`.
pub(super) fn of(name: &str) -> String {
    if let Some(item) = name.strip_suffix("Page") {
        return format!("{}Page", of(item));
    }
    let found = TITLES.iter().find(|(own, _)| *own == name);
    found.map_or(name, |(_, title)| title).to_owned()
}
