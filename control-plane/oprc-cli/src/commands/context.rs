//! `oprc context`: keeps servers by name. Never shows a token.

use crate::{
    Io,
    args::{Context as Args, Global},
    context::{Contexts, Environment, described},
    error::Error,
    output::table::Table,
};

pub(crate) fn run(
    args: &Args,
    global: &Global,
    environment: &Environment,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let dir = environment.config_dir.as_deref();
    let mut contexts = Contexts::load(dir)?;
    match args {
        Args::List => {
            list(&contexts, io);
            return Ok(());
        }
        Args::Current => {
            let current = contexts.current();
            io.out.line(current.ok_or_else(|| Error::usage("no context is in use"))?);
            return Ok(());
        }
        Args::Use { name } => {
            contexts.get(name)?;
            contexts.current = Some(name.clone());
        }
        Args::Set { name } => {
            contexts.contexts.insert(name.clone(), described(global)?);
            // The first one is what its user wants to use.
            if contexts.current().is_none() {
                contexts.current = Some(name.clone());
            }
        }
        Args::Remove { name } => {
            contexts.get(name)?;
            contexts.contexts.remove(name);
        }
    }
    contexts.store(dir)?;
    let (name, done) = match args {
        Args::Use { name } => (name, "in use"),
        Args::Set { name } => (name, "set"),
        Args::Remove { name } => (name, "removed"),
        Args::List | Args::Current => return Ok(()),
    };
    io.out.line(&format!("context/{name} {done}"));
    Ok(())
}

fn list(contexts: &Contexts, io: &mut Io<'_>) {
    let headings = ["CURRENT", "NAME", "SERVER", "TOKEN"];
    let rows: Vec<Vec<String>> = contexts
        .contexts
        .iter()
        .map(|(name, context)| {
            let is_current = contexts.current() == Some(name.as_str());
            let mark = if is_current { "*" } else { "" };
            let token = if context.token.is_some() { "yes" } else { "no" };
            [mark, name, &context.server, token].map(str::to_owned).to_vec()
        })
        .collect();
    let table = Table::new(&headings, &rows);
    table.line(&mut io.out, &headings);
    rows.iter().for_each(|row| table.line(&mut io.out, row));
}
