//! Systematic cuts, after Sieve (OSDI '22): a story without faults is told once, and its effects are
//! counted; then it is told again for each of them, once with the leader killed right after that
//! effect, and once with the leader's view frozen from before it could see that effect.
//!
//! Each of these must end as the first did, and must have *the same effects*: a wrong deletion that
//! is repaired later is still wrong.

use std::collections::BTreeMap;

use oprc_models::{
    cluster::features,
    names::{ClusterName, DeploymentKey},
};
use oprc_pm_api::writes::Verb;
use serde_json::json;

use super::{
    nemesis::Control,
    plan::Plan,
    run::{Driver, Options, Report},
    users::{self, Wish, document, name},
    world::{Event, World, note},
};

/// How long the leader's view is frozen, in milliseconds: longer than any reconcile waits for it.
const FREEZE: u64 = 20_000;

/// How long a step must have converged until the next begins.
const SETTLE: u64 = 10_000;

/// How long a user waits for an answer.
const PATIENCE: u64 = 31_000;

/// How often a user asks for the same.
const MAX_TRIES: usize = 40;

/// What happens to the leader, at which effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is killed right after this effect.
    Crash(u64),
    /// Its view does not show this effect nor anything after it for a while.
    Freeze(u64),
}

/// What a story has done so far, and when it is cut.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Store writes and CRM calls that took effect.
    n: u64,
    cut: Option<Cut>,
    /// Creations and deletions that took effect at CRMs.
    made: BTreeMap<(ClusterName, DeploymentKey), Made>,
}

/// How often a cluster created and deleted a deployment's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Creations.
    pub n_created: u64,
    /// Deletions.
    pub n_deleted: u64,
}

impl World {
    /// Counts an effect; cuts if it is time to.
    pub(crate) fn count_effect(&mut self, by: usize) {
        self.effects.n += 1;
        let n = self.effects.n;
        let leader = self.leader().unwrap_or(by);
        match self.effects.cut {
            Some(Cut::Crash(at)) if at == n => {
                note!(self, "cut after effect {n}: r{leader} crashes");
                self.schedule(self.now, Event::Control(Control::Crash(leader)));
            }
            Some(Cut::Freeze(at)) if at == n => {
                note!(self, "cut before effect {n} is seen: the view of r{leader} is frozen");
                self.weather.frozen = Some((leader, self.now + FREEZE));
            }
            _ => (),
        }
    }

    /// What a cluster has made of a deployment.
    pub(crate) fn made(&mut self, cluster: &ClusterName, of: &DeploymentKey) -> &mut Made {
        self.effects.made.entry((cluster.clone(), of.clone())).or_default()
    }
}

/// A story without faults: each step is asked for until it is acknowledged, and has converged before
/// the next begins.
#[derive(Clone, Debug)]
pub struct Story {
    /// What it tells of.
    pub name: &'static str,
    steps: Vec<Vec<Wish>>,
}

/// What came of a story, cut or not.
#[derive(Debug)]
pub struct Told {
    /// What came of it.
    pub report: Report,
    /// How many effects it had.
    pub n_effects: u64,
    /// What was made where.
    pub made: BTreeMap<(ClusterName, DeploymentKey), Made>,
}

/// The stories that are cut.
#[must_use]
pub fn stories() -> Vec<Story> {
    let package = |image: &str| put_package(image, None);
    let create = || vec![package("shop/add:1"), put(&["c0", "c1"])];
    let delete = || Wish::DeleteDeployment(name("d"));
    let story = |name, steps| Story { name, steps };
    vec![
        story("create on two clusters, and change", vec![create(), vec![package("shop/add:2")]]),
        story(
            "fewer clusters, then others",
            vec![create(), vec![put(&["c0"])], vec![put(&["c1"])]],
        ),
        story("delete", vec![create(), vec![delete()]]),
        story(
            "delete and create again at once",
            vec![create(), vec![delete(), put(&["c0", "c1"])]],
        ),
        story(
            "push a package again with other deployments in it",
            vec![
                vec![put_package("shop/add:1", Some(&["c0"]))],
                vec![put_package("shop/add:2", Some(&["c0", "c1"]))],
                vec![put_package("shop/add:2", None)],
            ],
        ),
    ]
}

fn put_package(image: &str, inline: Option<&[&str]>) -> Wish {
    let inline = inline.map(|targets| {
        json!({ "key": "inline", "package_name": "p", "class_key": "Cart", "target_envs": targets })
    });
    // What was published under a version stays what it was.
    let version = format!("1.{}.0", image.rsplit(':').next().unwrap_or_default());
    Wish::PutPackage(document(json!({
        "name": "p",
        "version": version,
        "classes": [{
            "key": "Cart",
            "function_bindings": [{ "name": "add", "function_key": "add" }],
        }],
        "functions": [{ "key": "add", "provision_config": { "container_image": image } }],
        "deployments": inline.into_iter().collect::<Vec<_>>(),
    })))
}

fn put(targets: &[&str]) -> Wish {
    let deployment = json!({
        "key": "d", "package_name": "p", "class_key": "Cart", "target_envs": targets,
    });
    Wish::PutDeployment(document(deployment), Verb::Apply)
}

impl Story {
    /// Tells it.
    #[must_use]
    pub fn tell(&self, seed: u64, cut: Option<Cut>, options: Options) -> Told {
        let all = vec![features::WATCH, features::GENERATIONS, features::TERMS];
        let clusters = ["c0", "c1"].map(|cluster| (name(cluster), all.clone())).to_vec();
        let (n_replicas, stride, acts, end) = (2, 10, Vec::new(), 0);
        let (max_txn_ops, has_events) = (None, false);
        let plan = Plan { seed, clusters, n_replicas, stride, acts, end, max_txn_ops, has_events };
        let mut told = None;
        let report = super::run::direct(&plan, options, |driver| {
            driver.world.lock().effects.cut = cut;
            driver.begin();
            let is_done = self
                .steps
                .iter()
                .all(|step| step.iter().all(|wish| driver.insist(wish)) && driver.converge(SETTLE));
            if is_done {
                driver.keep_still();
            }
            let world = driver.world.lock();
            told = Some((world.effects.n, world.effects.made.clone()));
        });
        let (n_effects, made) = told.unwrap_or_default();
        Told { report, n_effects, made }
    }
}

impl Told {
    /// What is wrong with it; `uncut` is the same story without a cut.
    #[must_use]
    pub fn violations(&self, uncut: &Self) -> Vec<String> {
        let mut violations = self.report.violations.clone();
        for place in uncut.made.keys().chain(self.made.keys()) {
            let made = |told: &Self| told.made.get(place).copied().unwrap_or_default();
            let (want, have) = (made(uncut), made(self));
            if want != have {
                let (cluster, deployment) = place;
                violations.push(format!(
                    "same effects: {deployment} on {cluster} has {have:?}, without the cut {want:?}"
                ));
            }
        }
        violations.dedup();
        violations
    }
}

impl Driver<'_> {
    /// Has a user ask for `wish` until it is acknowledged, now here and now there.
    pub(super) fn insist(&mut self, wish: &Wish) -> bool {
        for attempt in 0..MAX_TRIES {
            let replica = &self.replicas[attempt % self.replicas.len()];
            if let Some(replica) = replica {
                self.world.lock().heard = None;
                users::ask(&self.world, replica, wish.clone());
                let asked = self.world.lock().now;
                while self.world.lock().heard.is_none() {
                    let now = self.world.lock().now;
                    if now > asked + PATIENCE || self.is_over() {
                        break;
                    }
                    self.advance(now + 20);
                }
            }
            let heard = self.world.lock().heard.take();
            if self.is_over() || heard == Some(true) {
                return heard == Some(true);
            }
            let now = self.world.lock().now;
            self.advance(now + 500);
        }
        self.world.lock().checker.violations.push(format!("nobody takes {wish}"));
        false
    }
}
