//! Deterministic simulation: the production planner, controllers, queues, cache, breaker, election
//! and API write path over a simulated store and simulated CRMs, on simulated clocks.
//!
//! One seed decides everything: schedules, latencies, faults, and what users do. The same seed is
//! the same run, to the byte of its trace. Nothing of production is copied but its wiring: what
//! differs is behind the seams of the store, the CRMs and the clock.
//!
//! How it works: each replica has a tokio runtime of its own, with a paused clock, which the driver
//! lets run a little at a time; between the replicas and the [`world`] there are messages alone.
//! The driver always runs the replica that is most behind, stops it when it sends a message, and
//! lets the next event of the world happen when no replica is behind it.

#![expect(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "a story is told in one place, and messages are handed over"
)]

mod checker;
mod converged;
mod crm;
mod crm_client;
mod cuts;
mod damage;
mod dice;
mod documents;
mod nemesis;
mod pauses;
mod placing;
mod plan;
mod replica;
mod run;
mod shrink;
mod store;
mod trace;
mod users;
mod versions;
mod world;

pub use self::{
    cuts::{Cut, Made, Story, Told, stories},
    plan::Plan,
    run::{Options, Report, run, tell},
    shrink::{Shrunk, shrink},
};
