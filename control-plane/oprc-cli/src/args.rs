//! The command line's grammar. What the words mean is up to the commands.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use oprc_models::{
    role::{Kind, Verb},
    selector::LabelSelector,
};

/// Declares packages and deployments, and shows what the clusters make of them.
#[derive(Debug, Parser)]
#[command(name = "oprc", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused or failed, `diff` found a difference, or `auth can-i` \
                          says no; \
                          2 usage; 3 not converged in time.";

/// Where the server is.
#[derive(Debug, Default, Args)]
pub(crate) struct Global {
    /// URL of the Package Manager: else `OPRC_SERVER`, the context's, <http://127.0.0.1:8080>
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Token to send: else the context's, `OPRC_TOKEN`
    #[arg(long, global = true)]
    pub(crate) token: Option<String>,
    /// The context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// PEM file of authorities to trust beside the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Take any certificate: anyone on the way can read and change everything
    #[arg(long, global = true)]
    pub(crate) insecure_skip_verify: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create or replace what the files declare
    Apply(Apply),
    /// Show what `apply` would change; exit 1 where there is a difference
    Diff(Diff),
    /// List things, or show one
    Get(Get),
    /// Tell all about one thing
    Describe {
        /// KIND NAME or KIND/NAME
        #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
        target: Vec<String>,
    },
    /// Show what was decided and met with in the last hour, and why
    Events {
        /// Only about this: KIND/NAME
        #[arg(long, value_name = "KIND/NAME")]
        about: Option<String>,
    },
    /// Ask for things to be deleted
    Delete(Delete),
    /// Show what is published of packages
    #[command(subcommand)]
    Package(Package),
    /// Follow deployments until they run
    #[command(subcommand)]
    Rollout(Rollout),
    /// Wait until something is so
    Wait(Wait),
    /// Ask who you are to the server, and what you may do
    #[command(subcommand)]
    Auth(Auth),
    /// Keep servers by name
    #[command(subcommand)]
    Context(Context),
    /// Print the JSON Schema of a document: package, deployment, deployments (a list) or role-binding
    Schema {
        /// The kind of document
        kind: String,
    },
    /// Print a shell's completion script
    Completion { shell: clap_complete::Shell },
    /// Print the version
    Version,
}

/// Files with documents.
#[derive(Debug, Default, Args)]
pub(crate) struct Files {
    /// A file, a folder, or - for standard input; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<PathBuf>,
    /// Go into the folders of folders
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Refuse fields that are not known
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Wait until every cluster runs what was pushed
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, value_parser = duration, default_value = "5m", value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    /// Refuse to replace what was changed since it was read (`meta.resource_version` of the file)
    #[arg(long)]
    pub(crate) if_unchanged: bool,
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
}

/// How documents are pushed.
#[derive(Debug, Default, Args)]
pub(crate) struct BundleArgs {
    /// Push them as the documents of this bundle
    #[arg(long, value_name = "NAME")]
    pub(crate) bundle: Option<String>,
    /// Delete what the bundle has and the files have not
    #[arg(long, requires = "bundle")]
    pub(crate) prune: bool,
    /// Allow `--prune` to delete every document that the bundle owns
    #[arg(long, requires = "prune")]
    pub(crate) allow_empty: bool,
    /// Take what belongs to another bundle
    #[arg(long, requires = "bundle")]
    pub(crate) force: bool,
    /// Where the files are kept, to be shown with what is pushed
    #[arg(long, value_name = "URL")]
    pub(crate) source_repository: Option<String>,
    /// The commit that they are of
    #[arg(long, value_name = "COMMIT")]
    pub(crate) source_commit: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// KIND, KIND NAME or KIND/NAME
    #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
    pub(crate) target: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Print what changes, until interrupted
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Of a package: what is published under a version, or under the highest of a requirement (^1)
    #[arg(long, value_name = "VERSION", conflicts_with = "watch")]
    pub(crate) version: Option<String>,
    /// The most items to show
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

/// What to leave out of a list.
#[derive(Debug, Default, Args)]
pub(crate) struct Filters {
    /// Only with these labels: a=1,b!=2,c in (x,y),d notin (x),e,!f
    #[arg(short, long, visible_alias = "selector", value_name = "SELECTOR")]
    pub(crate) label: Option<LabelSelector>,
    /// Only of this package
    #[arg(long, value_name = "NAME")]
    pub(crate) package: Option<String>,
    /// Only of this class
    #[arg(long, value_name = "KEY")]
    pub(crate) class: Option<String>,
    /// Only on this cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Only in this condition, for example RUNNING
    #[arg(long)]
    pub(crate) condition: Option<String>,
    /// Only with this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Only of this bundle
    #[arg(long, value_name = "NAME")]
    pub(crate) bundle: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table
    Table,
    /// A table with more columns
    Wide,
    /// JSON, stable for scripts
    Json,
    /// YAML
    Yaml,
    /// KIND/NAME, one a line
    Name,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// KIND NAME or KIND/NAME
    #[arg(num_args = 1..=2, value_name = "KIND NAME", required_unless_present = "files",
          conflicts_with = "files")]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) files: Files,
    /// Also what depends on it
    #[arg(long)]
    pub(crate) cascade: bool,
    /// Take the deployment out of this cluster alone
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    pub(crate) cluster: Option<String>,
    /// Do not wait for clusters: for a deployment that is being deleted, or a cluster that is not
    /// connected
    #[arg(long, conflicts_with_all = ["files", "cascade"])]
    pub(crate) force: bool,
    /// What is not there is not a failure
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// Show what would be deleted, and delete nothing
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    /// Wait until nothing of it is left
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, value_parser = duration, default_value = "5m", value_name = "TIME")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Package {
    /// List the versions that are published, the highest first
    Versions {
        /// The package
        name: String,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// Follow one deployment until every cluster runs its newest generation
    Status {
        /// deployment KEY or deployment/KEY
        #[arg(required = true, num_args = 1..=2, value_name = "deployment KEY")]
        target: Vec<String>,
        /// How long to wait
        #[arg(long, value_parser = duration, default_value = "5m", value_name = "TIME")]
        timeout: Duration,
    },
    /// Show what something was, the newest first
    History(History),
    /// Show what changed between two of its revisions; exit 1 where there is a difference
    Diff(RolloutDiff),
    /// Bring back what something was before
    Undo {
        /// KIND NAME or KIND/NAME
        #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
        target: Vec<String>,
        /// The generation to go back to: else the one before the current
        #[arg(long, value_name = "GENERATION")]
        to_revision: Option<u64>,
    },
    /// Send nothing of a deployment to any cluster
    Pause(OneDeployment),
    /// Send what waits
    Resume(OneDeployment),
    /// Have every cluster replace a deployment by the same
    Restart(OneDeployment),
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// KIND NAME or KIND/NAME
    #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
    pub(crate) target: Vec<String>,
    /// Show what it was at this generation
    #[arg(long, value_name = "GENERATION")]
    pub(crate) revision: Option<u64>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RolloutDiff {
    /// KIND NAME or KIND/NAME
    #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
    pub(crate) target: Vec<String>,
    /// The generation to begin with: else the one before --to
    #[arg(long, value_name = "GENERATION")]
    pub(crate) from: Option<u64>,
    /// The generation to end with: else the current one
    #[arg(long, value_name = "GENERATION")]
    pub(crate) to: Option<u64>,
}

/// One deployment.
#[derive(Debug, Args)]
pub(crate) struct OneDeployment {
    /// deployment KEY or deployment/KEY
    #[arg(required = true, num_args = 1..=2, value_name = "deployment KEY")]
    pub(crate) target: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// condition=NAME, condition=NAME=VALUE or delete
    #[arg(long = "for", value_name = "WHAT")]
    pub(crate) what: String,
    /// KIND NAME or KIND/NAME
    #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
    pub(crate) target: Vec<String>,
    /// How long to wait
    #[arg(long, value_parser = duration, default_value = "5m", value_name = "TIME")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Tell who the server takes you for, and your roles
    Whoami,
    /// Tell whether you may do something; exit 0 for yes, 1 for no
    CanI(CanI),
}

#[derive(Debug, Args)]
pub(crate) struct CanI {
    /// get, list, watch, create, update or delete
    pub(crate) verb: Verb,
    /// The kind of thing, for example packages
    pub(crate) kind: Kind,
    /// Which one; of classes and functions, their package
    pub(crate) name: Option<String>,
    /// The package that it is in, or would be
    #[arg(long, value_name = "NAME")]
    pub(crate) package: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Context {
    /// List the contexts
    List,
    /// Make a context the current one
    Use { name: String },
    /// Keep the server given with --server (and --token, --ca-cert) under a name
    Set { name: String },
    /// Forget a context
    Remove { name: String },
    /// Print the name of the current context
    Current,
}

/// A length of time such as `90s`, `5m` or `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let want = || format!("{text:?} is not a length of time: want for example 90s, 5m or 1h30m");
    let signed = text.parse::<jiff::SignedDuration>().map_err(|_| want())?;
    Duration::try_from(signed).map_err(|_| want())
}

#[cfg(test)]
mod tests;
