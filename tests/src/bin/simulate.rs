//! Runs simulations, one seed after another; makes the story of one that fails short.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use clap::Parser;
use oprc_tests::simulation::{Cut, Options, Plan, Report, run, shrink, stories, tell};
use parking_lot::Mutex;

/// How often a failing story is told again to make it short.
const MAX_SHRINKING: usize = 400;

/// Runs simulations of the whole system, each decided by its seed
#[derive(Parser)]
#[command(name = "cargo xtask simulate")]
struct Args {
    /// How many seeds to run; by default 1000, and 1 with `--cuts`
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// Tell stories without faults, and cut them: the leader crashes right after each effect, and
    /// its view is frozen before each
    #[arg(long, conflicts_with = "seed")]
    cuts: bool,
    /// With `--cuts`: only at each so many effects
    #[arg(long, requires = "cuts", default_value_t = 1)]
    every: usize,
    /// As it was when there were only so many kinds of fault
    #[arg(long, requires = "seed")]
    kinds: Option<usize>,
    /// Print every line of its trace
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Do only these things of its plan, by their numbers: a story that was made short
    #[arg(long, requires = "seed", value_delimiter = ',')]
    only: Option<Vec<usize>>,
    /// Leave the story of a seed that fails as long as it is
    #[arg(long)]
    no_shrink: bool,
    /// How long nothing may move in the end, in minutes of simulated time
    #[arg(long, default_value_t = 60)]
    quiet_mins: u64,
    /// Threads; by default as many as there are processors
    #[arg(long)]
    jobs: Option<usize>,
    /// Go on after a seed has failed
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = Options { quiet_millis: args.quiet_mins * 60_000, is_printed: args.trace };
    if args.cuts {
        return cut_stories(&args, options);
    }
    let Some(seed) = args.seed else { return campaign(&args, options) };
    let mut plan = args.kinds.map_or_else(|| Plan::draw(seed), |kinds| Plan::draw_of(seed, kinds));
    if let Some(numbers) = &args.only {
        plan = plan.only(&numbers.iter().copied().collect::<BTreeSet<_>>());
    }
    let report = tell(&plan, options);
    tell_run(&report, !args.trace);
    let is_well = report.violations.is_empty();
    if !is_well && !args.no_shrink && args.only.is_none() {
        tell_shrunk(plan, report, options);
    }
    verdict(is_well)
}

fn verdict(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A line on standard output; a closed terminal is no error.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn tell_run(report: &Report, with_tail: bool) {
    let Report { seed, hash, n_lines, millis, n_messages, n_acknowledged, .. } = report;
    if with_tail && !report.violations.is_empty() {
        report.tail.iter().for_each(|line| say(line));
    }
    say(&format!(
        "seed {seed}: {n_messages} messages and {n_acknowledged} acknowledged writes in {} s of \
         simulated time; trace of {n_lines} lines, hash {hash:016x}",
        millis / 1000
    ));
    for violation in &report.violations {
        say(&format!("seed {seed} violates: {violation}"));
    }
}

/// Makes a story that fails short, and tells it.
fn tell_shrunk(plan: Plan, report: Report, options: Options) {
    let before = plan.numbers().len();
    let shrunk = shrink(plan, report, options, MAX_SHRINKING, |n_runs, left| {
        if io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\rshrinking: {left} of {before} left, {n_runs} runs ");
        }
    });
    let numbers: Vec<String> = shrunk.plan.numbers().iter().map(usize::to_string).collect();
    let seed = shrunk.report.seed;
    say(&format!("\nthe short story of seed {seed}, {} of {before} acts:", numbers.len()));
    say(&shrunk.plan.to_string());
    for violation in &shrunk.report.violations {
        say(&format!("violates: {violation}"));
    }
    let only = numbers.join(",");
    say(&format!("see it: cargo xtask simulate --seed {seed} --only {only} --trace"));
}

/// Cuts every story at every effect, for each seed.
fn cut_stories(args: &Args, options: Options) -> ExitCode {
    let options = Options { quiet_millis: options.quiet_millis.min(120_000), ..options };
    let mut n_failed = 0;
    for seed in args.from..args.from + args.seeds.unwrap_or(1) {
        for story in stories() {
            let uncut = story.tell(seed, None, options);
            if !uncut.report.violations.is_empty() {
                tell_run(&uncut.report, true);
                n_failed += 1;
                continue;
            }
            let effects = (1..=uncut.n_effects).step_by(args.every);
            let cuts: Vec<Cut> = effects.flat_map(|n| [Cut::Crash(n), Cut::Freeze(n)]).collect();
            let next = AtomicU64::new(0);
            let failed = Mutex::new(Vec::new());
            thread::scope(|scope| {
                for _ in 0..jobs(args) {
                    scope.spawn(|| {
                        loop {
                            let n = next.fetch_add(1, Ordering::Relaxed);
                            let n = usize::try_from(n).unwrap_or(usize::MAX);
                            let Some(cut) = cuts.get(n) else { return };
                            let told = story.tell(seed, Some(*cut), options);
                            let violations = told.violations(&uncut);
                            if !violations.is_empty() {
                                failed.lock().push((*cut, violations, told.report.tail));
                            }
                        }
                    });
                }
            });
            let failed = failed.into_inner();
            say(&format!(
                "seed {seed}, \"{}\": {} effects, {} cuts, {} failed",
                story.name,
                uncut.n_effects,
                cuts.len(),
                failed.len()
            ));
            for (i, (cut, violations, tail)) in failed.iter().enumerate() {
                if i == 0 {
                    tail.iter().for_each(|line| say(line));
                }
                violations.iter().for_each(|violation| say(&format!("{cut:?}: {violation}")));
            }
            n_failed += failed.len();
        }
    }
    verdict(n_failed == 0)
}

/// Threads to run on.
fn jobs(args: &Args) -> usize {
    let all = || thread::available_parallelism().map_or(1, usize::from);
    args.jobs.unwrap_or_else(all).max(1)
}

fn campaign(args: &Args, options: Options) -> ExitCode {
    let n_seeds = args.seeds.unwrap_or(1000);
    let (next, end) = (AtomicU64::new(args.from), args.from + n_seeds);
    let (sender, reports) = std::sync::mpsc::channel::<Report>();
    #[expect(clippy::disallowed_methods, reason = "seeds a second of real time")]
    let began = Instant::now();
    let (mut n_done, mut n_failed, mut millis) = (0, 0, 0);
    let mut first_failed: Option<Report> = None;
    let mut strikes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    thread::scope(|scope| {
        for _ in 0..jobs(args) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || sender.send(run(seed, options)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for report in &reports {
            n_done += 1;
            millis += report.millis;
            for (fault, n) in &report.strikes {
                let (n_seeds, n_strikes) = strikes.entry(fault).or_default();
                (*n_seeds, *n_strikes) = (*n_seeds + 1, *n_strikes + n);
            }
            let rate = f64::from(n_done) / began.elapsed().as_secs_f64();
            if io::stderr().is_terminal() {
                let _ = write!(io::stderr(), "\r{n_done}/{n_seeds} seeds, {rate:.1}/s ");
            }
            if !report.violations.is_empty() {
                n_failed += 1;
                tell_run(&report, !args.keep_going);
                first_failed.get_or_insert(report.clone());
                if !args.keep_going {
                    next.store(end, Ordering::Relaxed);
                    break;
                }
            }
        }
        // Runs that are under way end by themselves; nobody listens.
        drop(reports);
    });
    let took = began.elapsed().as_secs_f64();
    let hours = millis / 3_600_000;
    say(&format!(
        "{n_done} seeds from {}, {n_failed} failed; {hours} simulated hours in {took:.0} s, {:.1} seeds/s",
        args.from,
        f64::from(n_done) / took
    ));
    say("how often each fault struck (seeds, times):");
    for (fault, (n_seeds, n_strikes)) in strikes {
        say(&format!("{n_seeds:>8} {n_strikes:>9}  {fault}"));
    }
    if let Some(report) = first_failed.filter(|_| !args.no_shrink) {
        tell_shrunk(Plan::draw(report.seed), report, options);
    }
    verdict(n_failed == 0)
}
