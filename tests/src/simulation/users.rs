//! Users: they create, change, delete and re-create at random, through the production write path of
//! some replica, and hear what became of it, or do not.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use oprc_controller_runtime::cache::Cache;
use oprc_cp_storage::{Revision, Store as _, keys::Key};
use oprc_models::{
    deployment::OClassDeployment,
    meta::Stored,
    names::{BundleName, ClusterName, DeploymentKey, PackageName},
    package::OPackage,
};
use oprc_pm_api::writes::{
    Ask, BundlePush, BundleWritten, Conditions, Dependants, Document, DocumentSpec, Error, Outcome,
    Provenance, Push, Removal, Verb, Writes, Written,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    dice::Dice,
    documents::digest,
    replica::Replica,
    store::StoreClient,
    world::{SharedWorld, World, note},
};

/// How long a request may take, as in production.
const PATIENCE: Duration = Duration::from_secs(30);

/// Deployments that users write of.
const N_DEPLOYMENTS: usize = 5;
/// Packages that users write of.
const N_PACKAGES: usize = 3;

/// Bundles that users push.
const N_BUNDLES: usize = 2;

/// What a user wants.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    PutPackage(Box<OPackage>),
    PutDeployment(Box<OClassDeployment>, Verb),
    DeleteDeployment(DeploymentKey),
    Exclude(DeploymentKey, ClusterName),
    DeletePackage(PackageName, Dependants),
    PushBundle(Box<Bundled>),
    Ask(DeploymentKey, Ask),
    /// To what it was so many archived generations ago.
    RollBackDeployment(DeploymentKey, usize),
    RollBackPackage(PackageName, usize),
}

/// Many documents at once.
#[derive(Clone, Debug)]
pub(crate) struct Bundled {
    pub(crate) bundle: Option<BundleName>,
    pub(crate) documents: Vec<Document>,
    /// Whether what the bundle has and the push has not is to go.
    pub(crate) is_pruned: bool,
    /// Whether what is another's is taken.
    is_forced: bool,
}

/// What a user is told.
enum Told {
    Written(Box<Written>),
    /// And what is to be stored then.
    RolledBack(Box<Written>, u64),
    Pushed(BundleWritten),
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
    let number = dice.index(N_DEPLOYMENTS);
    draw_deployment_of(dice, clusters, package, number)
}

fn draw_deployment_of(
    dice: &mut Dice,
    clusters: &[ClusterName],
    package: usize,
    number: usize,
) -> OClassDeployment {
    let key = format!("d{number}");
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

fn draw_package(dice: &mut Dice, clusters: &[ClusterName], number: usize) -> OPackage {
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
        0..=4 => {
            let number = dice.index(N_PACKAGES);
            Wish::PutPackage(Box::new(draw_package(dice, clusters, number)))
        }
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

/// What brings a deployment to `clusters`, changes it there, and takes it away: its package, itself
/// as often as it is to have a generation, its removal.
pub(crate) fn draw_visit(
    dice: &mut Dice,
    clusters: &[ClusterName],
    n_generations: usize,
) -> Vec<Wish> {
    let package = dice.index(N_PACKAGES);
    let mut wishes = vec![Wish::PutPackage(Box::new(draw_package(dice, clusters, package)))];
    let mut deployment = draw_deployment(dice, clusters, package);
    deployment.target_envs = clusters.to_vec();
    deployment.excluded_envs.clear();
    for number in 0..n_generations {
        deployment.env_templates.insert(clusters[0].clone(), format!("t{number}"));
        wishes.push(Wish::PutDeployment(Box::new(deployment.clone()), Verb::Apply));
    }
    let key = deployment.key;
    wishes.push(if dice.chance(0.7) {
        Wish::DeleteDeployment(key)
    } else {
        Wish::Exclude(key, clusters[0].clone())
    });
    wishes
}

/// Something that a pipeline may push, or an operator ask for.
pub(crate) fn draw_operation(dice: &mut Dice, clusters: &[ClusterName]) -> Wish {
    let key = name(&format!("d{}", dice.index(N_DEPLOYMENTS)));
    match dice.index(16) {
        0..=6 => Wish::PushBundle(Box::new(draw_bundle(dice, clusters))),
        7..=8 => Wish::Ask(key, Ask::Pause),
        9..=10 => Wish::Ask(key, Ask::Resume),
        11 => Wish::Ask(key, Ask::Restart),
        12..=13 => Wish::RollBackDeployment(key, dice.index(2)),
        _ => {
            let package = name(&format!("p{}", dice.index(N_PACKAGES)));
            Wish::RollBackPackage(package, dice.index(2))
        }
    }
}

fn draw_bundle(dice: &mut Dice, clusters: &[ClusterName]) -> Bundled {
    let mut documents = Vec::new();
    let mut add = |spec| {
        let at = format!("/documents/{}", documents.len());
        documents.push(Document { at, spec, conditions: Conditions::default() });
    };
    for number in 0..N_PACKAGES {
        if dice.chance(0.5) {
            add(DocumentSpec::Package(draw_package(dice, clusters, number)));
        }
    }
    for number in 0..N_DEPLOYMENTS {
        if dice.chance(0.5) {
            let package = dice.index(N_PACKAGES);
            let deployment = draw_deployment_of(dice, clusters, package, number);
            add(DocumentSpec::Deployment(deployment));
        }
    }
    let is_named = dice.chance(0.8);
    let bundle = is_named.then(|| name(&format!("b{}", dice.index(N_BUNDLES))));
    let is_pruned = is_named && dice.chance(0.6);
    Bundled { bundle, documents, is_pruned, is_forced: dice.chance(0.4) }
}

/// Has a user ask `replica` for `wish`.
pub(crate) fn ask(world: &SharedWorld, replica: &Replica, wish: Wish) {
    {
        let mut world = world.lock();
        note!(world, "user asks r{}: {wish}", replica.link.replica);
        world.asked.note(&wish);
    }
    let asked = Asked {
        writes: replica.writes.clone(),
        cache: Arc::clone(&replica.cache),
        store: StoreClient { link: replica.link.clone() },
    };
    let world = Arc::clone(world);
    replica.spawn(async move {
        let n_lives = world.lock().checker.documents.n_lives();
        let answer = timeout(PATIENCE, asked.carry_out(&wish)).await;
        let mut world = world.lock();
        let is_removal = matches!(wish, Wish::DeleteDeployment(_) | Wish::DeletePackage(..));
        world.heard = Some(match &answer {
            Ok(Err(Error::NotFound { .. })) => is_removal,
            answer => matches!(answer, Ok(Ok(_))),
        });
        match answer {
            // What it was told of may be undone, with all that the store held.
            Ok(Ok(_)) if world.checker.documents.n_lives() != n_lives => {
                note!(world, "user hears of what was undone");
            }
            Ok(Ok(told)) => world.hear(&wish, &told),
            Ok(Err(error)) => note!(world, "user hears: {error}"),
            Err(_) => note!(world, "user hears nothing"),
        }
    });
}

impl World {
    /// A user is told that it was done.
    fn hear(&mut self, wish: &Wish, told: &Told) {
        match wish {
            Wish::PushBundle(_) => self.strike("bundle pushed"),
            Wish::Ask(_, Ask::Pause) => self.strike("deployment paused"),
            Wish::Ask(_, Ask::Resume) => self.strike("deployment resumed"),
            Wish::Ask(_, Ask::Restart) => self.strike("deployment restarted"),
            Wish::RollBackDeployment(..) => self.strike("deployment rolled back"),
            Wish::RollBackPackage(..) => self.strike("package rolled back"),
            _ => (),
        }
        match (told, wish) {
            (Told::Written(written), _) => self.hear_written(written),
            (Told::RolledBack(written, spec), _) => {
                self.hear_written(written);
                let (key, meta) = (written.key.to_string(), &written.meta);
                let documents = &self.checker.documents;
                if !documents.was(&key, &meta.uid, meta.generation, *spec) {
                    let generation = meta.generation;
                    self.violated(format!("{key} {generation} is not what it was rolled back to"));
                }
            }
            (Told::Pushed(written), Wish::PushBundle(push)) => {
                let applied = written.applied.iter();
                let told: Vec<String> =
                    applied.map(|it| format!("{} {:?}", it.key, it.outcome)).collect();
                note!(self, "user hears: {told:?}");
                if written.applied.iter().any(|it| it.at.is_none()) {
                    self.strike("bundle pruned");
                }
                self.checker.n_acknowledged += 1;
                let (documents, is_blind) = (&self.checker.documents, self.checker.is_blind);
                if let Some(wrong) = documents.acknowledged_push(push, written, is_blind) {
                    self.violated(wrong);
                }
            }
            (Told::Pushed(_), _) => (),
        }
    }

    fn hear_written(&mut self, written: &Written) {
        let Written { key, outcome, meta, revision, .. } = written;
        note!(self, "user hears: {key} {outcome:?} generation {}", meta.generation);
        if matches!(outcome, Outcome::Created | Outcome::Replaced) {
            let key = key.to_string();
            self.checker.acknowledged(&key, &meta.uid, meta.generation, revision.0);
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutPackage(package) => write!(f, "put {}", Brief(&**package)),
            Self::PutDeployment(it, verb) => write!(f, "{verb:?} {}", Brief(&**it)),
            Self::PushBundle(push) => {
                let bundle = push.bundle.as_ref().map_or("-", |bundle| bundle.as_str());
                let (pruned, forced) = (push.is_pruned, push.is_forced);
                write!(f, "push bundle {bundle}, pruned {pruned}, forced {forced}:")?;
                for document in &push.documents {
                    match &document.spec {
                        DocumentSpec::Package(package) => write!(f, " {};", Brief(package))?,
                        DocumentSpec::Deployment(it) => write!(f, " {};", Brief(it))?,
                    }
                }
                Ok(())
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// A document in a few words.
struct Brief<'a, T>(&'a T);

impl fmt::Display for Brief<'_, OPackage> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(package) = self;
        let image = package.functions.first();
        let image = image.and_then(|it| it.provision_config.container_image.as_deref());
        let inline: Vec<_> = package.deployments.iter().map(|it| &it.target_envs).collect();
        let version = package.version.as_deref().unwrap_or("-");
        write!(f, "package {} {version} of {image:?} inline {inline:?}", package.name)
    }
}

impl fmt::Display for Brief<'_, OClassDeployment> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(it) = self;
        write!(
            f,
            "{} of {} targets {:?} available {:?} excluded {:?}",
            it.key, it.package_name, it.target_envs, it.available_envs, it.excluded_envs
        )
    }
}

/// Who is asked: a replica, as its API has it.
struct Asked {
    writes: Writes,
    cache: Arc<Cache>,
    store: StoreClient,
}

impl Asked {
    async fn carry_out(&self, wish: &Wish) -> Result<Told, Error> {
        let writes = &self.writes;
        let conditions = Conditions::default();
        let by = Provenance::default();
        let removal = Removal { conditions: &conditions, by, is_dry_run: false };
        let written = match wish {
            Wish::PutPackage(spec) => {
                let push = Push { spec: &**spec, verb: Verb::Apply, conditions: &conditions, by };
                writes.put_package(&push).await?
            }
            Wish::PutDeployment(spec, verb) => {
                let push = Push { spec: &**spec, verb: *verb, conditions: &conditions, by };
                writes.put_deployment(&push).await?
            }
            Wish::DeleteDeployment(key) => writes.delete_deployment(key, &removal).await?,
            Wish::Exclude(key, cluster) => writes.exclude_cluster(key, cluster, &removal).await?,
            Wish::DeletePackage(package, dependants) => {
                writes.delete_package(package, *dependants, &removal).await?
            }
            Wish::Ask(key, ask) => writes.ask_deployment(key, *ask, &removal).await?,
            Wish::PushBundle(push) => {
                let Bundled { bundle, documents, is_pruned, is_forced } = &**push;
                let push = BundlePush {
                    documents,
                    bundle: bundle.as_ref(),
                    prune: *is_pruned,
                    allow_empty: true,
                    force: *is_forced,
                    by,
                    permit: &|_| Ok(()),
                };
                return Ok(Told::Pushed(writes.apply(&push).await?));
            }
            Wish::RollBackDeployment(key, back) => {
                let archived = self.cache.read().deployment_revisions.get(key).cloned();
                let of = |generation| Key::DeploymentRevision(key.clone(), generation);
                let was: Stored<OClassDeployment> = self.archived(archived, *back, of).await?;
                let note = format!("rollback to generation {}", was.meta.generation);
                let by = Provenance { note: Some(&note), ..by };
                let spec = &was.spec;
                let push = Push { spec, verb: Verb::Restore, conditions: &conditions, by };
                let written = writes.put_deployment(&push).await?;
                return Ok(Told::RolledBack(Box::new(written), digest(spec)));
            }
            Wish::RollBackPackage(package, back) => {
                let archived = self.cache.read().package_revisions.get(package).cloned();
                let of = |generation| Key::PackageRevision(package.clone(), generation);
                let was: Stored<OPackage> = self.archived(archived, *back, of).await?;
                let note = format!("rollback to generation {}", was.meta.generation);
                let by = Provenance { note: Some(&note), ..by };
                let spec = &was.spec;
                let push = Push { spec, verb: Verb::Restore, conditions: &conditions, by };
                let written = writes.put_package(&push).await?;
                return Ok(Told::RolledBack(Box::new(written), digest(spec)));
            }
        };
        Ok(Told::Written(Box::new(written)))
    }

    /// What was archived `back` generations ago, as the API reads it.
    async fn archived<T: DeserializeOwned>(
        &self,
        archived: Option<BTreeMap<u64, Revision>>,
        back: usize,
        key: impl Fn(u64) -> Key,
    ) -> Result<T, Error> {
        let generation = archived.and_then(|it| it.into_keys().rev().nth(back));
        let key = key(generation.unwrap_or_default()).to_string();
        let not_found = || Error::NotFound { key: key.clone() };
        let stored = self.store.get(&key).await?.ok_or_else(not_found)?;
        serde_json::from_slice(&stored.value).map_err(|_| not_found())
    }
}
