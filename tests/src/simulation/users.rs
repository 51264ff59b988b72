//! Users: they create, change, delete and re-create at random, through the production write path of
//! some replica, and hear what became of it, or do not.

use std::{collections::BTreeMap, fmt, time::Duration};

use oprc_models::{
    deployment::OClassDeployment,
    names::{ClusterName, DeploymentKey, PackageName},
    package::OPackage,
};
use oprc_pm_api::writes::{
    Conditions, Dependants, Error, Outcome, Provenance, Push, Removal, Verb, Writes, Written,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    dice::Dice,
    replica::Replica,
    world::{SharedWorld, note},
};

/// How long a request may take, as in production.
const PATIENCE: Duration = Duration::from_secs(30);

/// Deployments that users write of.
const N_DEPLOYMENTS: usize = 5;
/// Packages that users write of.
const N_PACKAGES: usize = 3;

/// What a user wants.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    PutPackage(Box<OPackage>),
    PutDeployment(Box<OClassDeployment>, Verb),
    DeleteDeployment(DeploymentKey),
    Exclude(DeploymentKey, ClusterName),
    DeletePackage(PackageName, Dependants),
}

pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| unreachable!("{text} is a name"))
}

pub(crate) fn document<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| unreachable!("a document: {error}"))
}

fn draw_clusters(dice: &mut Dice, clusters: &[ClusterName]) -> Vec<ClusterName> {
    clusters.iter().filter(|_| dice.chance(0.5)).cloned().collect()
}

fn draw_deployment(dice: &mut Dice, clusters: &[ClusterName], package: usize) -> OClassDeployment {
    let key = format!("d{}", dice.index(N_DEPLOYMENTS));
    let mut deployment: OClassDeployment = document(json!({
        "key": key, "package_name": format!("p{package}"), "class_key": "Cart",
    }));
    match dice.index(10) {
        0..=5 => deployment.target_envs = draw_clusters(dice, clusters),
        6 => {
            deployment.target_envs = draw_clusters(dice, clusters);
            deployment.target_envs.push(name("nowhere"));
        }
        7 => deployment.available_envs = draw_clusters(dice, clusters),
        _ => (),
    }
    if dice.chance(0.2) {
        deployment.excluded_envs = draw_clusters(dice, clusters);
    }
    if dice.chance(0.3) {
        let template = format!("t{}", dice.index(2));
        deployment.env_templates.insert(clusters[0].clone(), template);
    }
    deployment
}

fn draw_package(dice: &mut Dice, clusters: &[ClusterName]) -> OPackage {
    let number = dice.index(N_PACKAGES);
    let mut package: OPackage = document(json!({
        "name": format!("p{number}"),
        "classes": [{
            "key": "Cart",
            "function_bindings": [{ "name": "add", "function_key": "add" }],
        }],
        "functions": [{
            "key": "add",
            "provision_config": { "container_image": format!("shop/add:{}", dice.index(6)) },
        }],
    }));
    if number == 2 && dice.chance(0.4) {
        package.dependencies = vec!["p1".to_owned()];
    }
    if number == 2 && dice.chance(0.4) {
        let mut inline = draw_deployment(dice, clusters, number);
        inline.key = name("inline");
        package.deployments = vec![inline];
    }
    package
}

/// Something that a user may want.
pub(crate) fn draw(dice: &mut Dice, clusters: &[ClusterName]) -> Wish {
    let key = name(&format!("d{}", dice.index(N_DEPLOYMENTS)));
    match dice.index(20) {
        0..=4 => Wish::PutPackage(Box::new(draw_package(dice, clusters))),
        5..=12 => {
            let package = dice.index(N_PACKAGES);
            let verb = dice.pick(&[Verb::Apply, Verb::Apply, Verb::Create]);
            Wish::PutDeployment(Box::new(draw_deployment(dice, clusters, package)), verb)
        }
        13..=16 => Wish::DeleteDeployment(key),
        17 => Wish::Exclude(key, clusters[dice.index(clusters.len())].clone()),
        _ => {
            let package = name(&format!("p{}", dice.index(N_PACKAGES)));
            let dependants =
                if dice.chance(0.5) { Dependants::Cascade } else { Dependants::Refuse };
            Wish::DeletePackage(package, dependants)
        }
    }
}

/// Gives each package that is asked for, in this order, a version of its own, above all before it:
/// what was published under a version stays what it was. One that says what the package said last
/// keeps its version, and `p1` has none at all.
pub(crate) fn number_versions<'a>(wishes: impl Iterator<Item = &'a mut Wish>) {
    let mut said = BTreeMap::new();
    let mut n_versions = 0;
    for wish in wishes {
        let Wish::PutPackage(package) = wish else { continue };
        if package.name.as_str() == "p1" {
            continue;
        }
        let OPackage { classes, functions, dependencies, .. } = &**package;
        let content = json!([classes, functions, dependencies]);
        let last = said.entry(package.name.clone()).or_insert((Value::Null, 0));
        if last.0 != content {
            n_versions += 1;
            *last = (content, n_versions);
        }
        package.version = Some(format!("1.{}.0", last.1));
    }
}

/// Has a user ask `replica` for `wish`.
pub(crate) fn ask(world: &SharedWorld, replica: &Replica, wish: Wish) {
    {
        let mut world = world.lock();
        note!(world, "user asks r{}: {wish}", replica.link.replica);
    }
    let writes = replica.writes.clone();
    let world = std::sync::Arc::clone(world);
    replica.spawn(async move {
        let answer = timeout(PATIENCE, carry_out(&writes, &wish)).await;
        let mut world = world.lock();
        let is_removal = matches!(wish, Wish::DeleteDeployment(_) | Wish::DeletePackage(..));
        world.heard = Some(match &answer {
            Ok(Err(Error::NotFound { .. })) => is_removal,
            answer => matches!(answer, Ok(Ok(_))),
        });
        match answer {
            Ok(Ok((key, written))) => {
                let Written { outcome, meta, revision, .. } = written;
                note!(world, "user hears: {key} {outcome:?} generation {}", meta.generation);
                let is_stored = matches!(outcome, Outcome::Created | Outcome::Replaced);
                if is_stored {
                    world.checker.acknowledged(&key, &meta.uid, meta.generation, revision.0);
                }
            }
            Ok(Err(error)) => note!(world, "user hears: {error}"),
            Err(_) => note!(world, "user hears nothing"),
        }
    });
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutPackage(package) => {
                let image = package
                    .functions
                    .first()
                    .and_then(|function| function.provision_config.container_image.as_deref());
                let inline: Vec<_> = package.deployments.iter().map(|it| &it.target_envs).collect();
                let version = package.version.as_deref().unwrap_or("-");
                write!(f, "put package {} {version} of {image:?} inline {inline:?}", package.name)
            }
            Self::PutDeployment(it, verb) => write!(
                f,
                "{verb:?} {} of {} targets {:?} available {:?} excluded {:?}",
                it.key, it.package_name, it.target_envs, it.available_envs, it.excluded_envs
            ),
            other => write!(f, "{other:?}"),
        }
    }
}

async fn carry_out(writes: &Writes, wish: &Wish) -> Result<(String, Written), Error> {
    let conditions = Conditions::default();
    let removal = Removal { conditions: &conditions, by: Provenance::default() };
    match wish {
        Wish::PutPackage(spec) => {
            let push = Push {
                spec: &**spec,
                verb: Verb::Apply,
                conditions: &conditions,
                by: Provenance::default(),
            };
            Ok((format!("packages/{}", spec.name), writes.put_package(&push).await?))
        }
        Wish::PutDeployment(spec, verb) => {
            let push = Push {
                spec: &**spec,
                verb: *verb,
                conditions: &conditions,
                by: Provenance::default(),
            };
            Ok((format!("deployments/{}", spec.key), writes.put_deployment(&push).await?))
        }
        Wish::DeleteDeployment(key) => {
            Ok((format!("deployments/{key}"), writes.delete_deployment(key, &removal).await?))
        }
        Wish::Exclude(key, cluster) => {
            let written = writes.exclude_cluster(key, cluster, &removal).await?;
            Ok((format!("deployments/{key}"), written))
        }
        Wish::DeletePackage(package, dependants) => {
            let written = writes.delete_package(package, *dependants, &removal).await?;
            Ok((format!("packages/{package}"), written))
        }
    }
}
