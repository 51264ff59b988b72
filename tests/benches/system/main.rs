//! What the whole system costs, as ratios measured in one run: `cargo xtask bench`.
//!
//! Each measure starts its own processes on loopback, is bounded in count and time, and prints its
//! rows as it goes. Arguments are parts of the names of measures; none: all of them.
//!
//! The Package Manager and the CRMs are programs of their own, from `OPRC_TEST_BIN_DIR` or from
//! beside this one, so that their memory and processor time are theirs alone. Where both sides of
//! a ratio need a load generator it is the same one.

#![expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]
#![expect(clippy::unwrap_used, reason = "a measure that cannot be made ends the run")]

mod apply;
mod auth;
mod changes;
mod creates;
mod documents;
mod fake_crm;
mod filters;
mod heal;
mod latency;
mod load;
mod process;
mod queue;
mod reads;
mod scale;
mod slow;
mod stores;
mod table;
mod watchers;

use std::{env, process::ExitCode};

use tokio::runtime::Runtime;

/// The measures, by the name that arguments are parts of.
const NAMES: [&str; 12] = [
    "queue", "creates", "apply", "reads", "auth", "watchers", "latency", "slow", "heal", "changes",
    "scale", "filters",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [word, rest @ ..] = &arguments[..]
        && word == reads::SERVE
    {
        // This program again, as the other side of a ratio.
        return reads::serve(rest);
    }
    let filters: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &&&str| {
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    let runtime = Runtime::new().unwrap();
    table::head();
    for name in NAMES.iter().filter(is_wanted) {
        match *name {
            "queue" => queue::run(),
            "creates" => runtime.block_on(creates::run()),
            "apply" => runtime.block_on(apply::run()),
            "reads" => runtime.block_on(reads::run()),
            "auth" => runtime.block_on(auth::run()),
            "watchers" => runtime.block_on(watchers::run()),
            "latency" => runtime.block_on(latency::run()),
            "slow" => runtime.block_on(slow::run()),
            "heal" => runtime.block_on(heal::run()),
            "changes" => runtime.block_on(changes::run()),
            "scale" => runtime.block_on(scale::run()),
            "filters" => runtime.block_on(filters::run()),
            _ => unreachable!("every name has an arm"),
        }
    }
    ExitCode::SUCCESS
}
