//! From a map of variables to sections of typed settings, collecting every mistake.
//!
//! A section is declared with [`settings!`], which makes from one text the struct, its parser
//! (`envconfig`), and the rows of the help text and of the README's table. `envconfig` stops at the
//! first mistake; [`Parser::section`] notes it, takes the variable away and parses again, so that
//! the next mistake is found too.

use std::{
    collections::{BTreeMap, HashMap},
    error, fmt,
};

use envconfig::Envconfig;

use crate::suggest;

/// One environment variable that a program reads.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name; `<ID>` in it stands for the id of a CRM.
    pub name: &'static str,
    /// The value that is assumed when it is not set; `None`: it may be absent.
    pub default: Option<&'static str>,
    /// What it is for, and why the default is what it is: the text of the field's doc comment.
    pub doc: &'static str,
    /// What a value looks like.
    pub want: fn() -> String,
    /// Whether a wrong value must not be shown.
    pub is_secret: bool,
}

impl Variable {
    /// The first paragraph of the documentation, on one line.
    #[must_use]
    pub fn meaning(&self) -> String {
        let lines = self.doc.lines().map(str::trim).take_while(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join(" ")
    }
}

/// A group of settings that are parsed together. Made by [`settings!`].
pub trait Settings: Envconfig {
    /// The variables, in the order of the fields.
    const VARIABLES: &'static [Variable];
}

/// Declares a section: a struct whose fields are variables.
///
/// ```text
/// settings! {
///     /// Where the API listens.
///     pub struct Server {
///         /// Port to listen on.
///         port: u16 = "OPRC_PM_SERVER_PORT" or "8080",
///         /// Threads that serve requests.
///         worker_threads: Option<Within<1, 512>> = "OPRC_PM_SERVER_WORKER_THREADS",
///     }
/// }
/// ```
///
/// A setting has a default or is an `Option`: anything else would make an empty environment an
/// error of this program.
macro_rules! settings {
    (
        $(#[doc = $about:tt])*
        $(#[derive($($derive:ident),*)])?
        $vis:vis struct $section:ident {
            $(
                $(#[doc = $doc:tt])+
                $field:ident: $type:ty = $name:tt $(or $default:tt)?,
            )*
        }
    ) => {
        $(#[doc = $about])*
        $(#[derive($($derive),*)])?
        #[derive(Envconfig)]
        $vis struct $section {
            $(
                $(#[doc = $doc])+
                #[envconfig(from = $name $(, default = $default)?)]
                $vis $field: $type,
            )*
        }

        impl $crate::parse::Settings for $section {
            const VARIABLES: &'static [$crate::parse::Variable] = &[
                $(
                    $crate::parse::Variable {
                        name: $name,
                        default: $crate::parse::first(&[$($default)?]),
                        doc: concat!($($doc, "\n"),+),
                        want: <$type as $crate::parse::Field>::want,
                        is_secret: <$type as $crate::parse::Field>::IS_SECRET,
                    },
                )*
            ];
        }
    };
}
pub(crate) use settings;

/// The type of a field: a setting, or an optional one.
pub trait Field {
    /// See [`Setting::IS_SECRET`](crate::value::Setting::IS_SECRET).
    const IS_SECRET: bool;
    /// See [`Setting::want`](crate::value::Setting::want).
    fn want() -> String;
}

impl<T: crate::value::Setting> Field for T {
    const IS_SECRET: bool = T::IS_SECRET;
    fn want() -> String {
        T::want()
    }
}

impl<T: crate::value::Setting> Field for Option<T> {
    const IS_SECRET: bool = T::IS_SECRET;
    fn want() -> String {
        T::want()
    }
}

/// The first of `items`, if there is one: a default that may not have been written.
pub(crate) const fn first(items: &[&'static str]) -> Option<&'static str> {
    match items {
        [first, ..] => Some(first),
        [] => None,
    }
}

/// One thing that is wrong with one variable. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The variable.
    pub variable: String,
    /// What is wrong, and what was expected.
    pub problem: String,
}

/// Everything that is wrong with a configuration, ordered by variable; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The mistakes, ordered by variable.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_mistakes = self.0.len();
        let plural = if n_mistakes == 1 { "" } else { "s" };
        write!(f, "{n_mistakes} mistake{plural} in the configuration")?;
        for Mistake { variable, problem } in &self.0 {
            write!(f, "\n  {variable}: {problem}")?;
        }
        Ok(())
    }
}

impl error::Error for Mistakes {}

/// Variables not yet taken by a section, and the mistakes found so far.
pub struct Parser {
    left: BTreeMap<String, String>,
    mistakes: Vec<Mistake>,
    known: Vec<String>,
}

impl Parser {
    /// Starts from the `variables` whose names begin with `prefix`; others are not ours to judge.
    ///
    /// A variable that is set but empty is a mistake: it is more often a substitution that failed
    /// than a wish for the default.
    #[must_use]
    pub fn new(variables: BTreeMap<String, String>, prefix: &str) -> Self {
        let mut parser = Self { left: BTreeMap::new(), mistakes: Vec::new(), known: Vec::new() };
        for (name, value) in variables {
            if !name.starts_with(prefix) {
                continue;
            }
            if value.trim().is_empty() {
                parser.mistake(&name, "is empty: give it a value or do not set it");
            }
            parser.left.insert(name, value);
        }
        parser
    }

    /// Parses a section, with the default in place of each value that is wrong.
    pub fn section<S: Settings>(&mut self) -> S {
        self.section_of::<S>(None)
    }

    /// As [`Self::section`], for one member of a family: `<ID>` in names stands for `id`.
    pub fn section_of<S: Settings>(&mut self, id: Option<&str>) -> S {
        let actual = |template: &str| template.replace("<ID>", id.unwrap_or("<ID>"));
        let mut values = HashMap::new();
        for variable in S::VARIABLES {
            let name = actual(variable.name);
            if let Some(value) = self.left.remove(&name)
                && !value.trim().is_empty()
            {
                values.insert(variable.name.to_owned(), value);
            }
            self.known.push(name);
        }
        loop {
            let wrong = match S::init_from_hashmap(&values) {
                Ok(section) => return section,
                Err(envconfig::Error::ParseError { name }) => name,
                Err(envconfig::Error::EnvVarMissing { name }) => {
                    unreachable!("{name} has neither a default nor an optional type")
                }
            };
            let value = values.remove(wrong);
            assert!(value.is_some(), "the default of {wrong} is not a value of its type");
            let variable = S::VARIABLES.iter().find(|variable| variable.name == wrong);
            let want = variable.map(|variable| (variable.want)()).unwrap_or_default();
            let shown = match value {
                Some(value) if variable.is_some_and(|variable| !variable.is_secret) => {
                    format!("{:?} is wrong: ", value.chars().take(80).collect::<String>())
                }
                _ => "is wrong (not shown): ".to_owned(),
            };
            self.mistake(&actual(wrong), format!("{shown}want {want}"));
        }
    }

    /// Notes a mistake that is not one of a single value.
    pub fn mistake(&mut self, variable: &str, problem: impl Into<String>) {
        self.mistakes.push(Mistake { variable: variable.to_owned(), problem: problem.into() });
    }

    /// Whether a mistake was noted for `variable`: then its absence needs no second one.
    #[must_use]
    pub fn is_wrong(&self, variable: &str) -> bool {
        self.mistakes.iter().any(|mistake| mistake.variable == variable)
    }

    /// The names of the variables that no section has taken yet.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.left.keys().map(String::as_str)
    }

    /// Ends the parsing: what no section has taken is unknown, and a mistake.
    ///
    /// # Errors
    ///
    /// All mistakes, when there are any.
    pub fn finish(mut self) -> Result<(), Mistakes> {
        for name in std::mem::take(&mut self.left).into_keys() {
            let problem = if is_service_link(&name) {
                "is set by Kubernetes for a service of that name; put enableServiceLinks: false \
                 into the pod's spec"
                    .to_owned()
            } else if let Some(near) = suggest::nearest(&name, &self.known) {
                format!("is not a known variable; did you mean {near}?")
            } else {
                "is not a known variable".to_owned()
            };
            self.mistake(&name, problem);
        }
        if self.mistakes.is_empty() {
            return Ok(());
        }
        self.mistakes.sort();
        Err(Mistakes(self.mistakes))
    }
}

/// Whether `name` is of the form that Kubernetes makes for each service that a pod can see:
/// `<SERVICE>_SERVICE_HOST`, `<SERVICE>_PORT_80_TCP_ADDR` and so on.
fn is_service_link(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_of_port = |rest: &str| {
        rest.split_once('_').is_some_and(|(port, protocol)| {
            is_number(port) && (protocol.starts_with("TCP") || protocol.starts_with("UDP"))
        })
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_of_port(rest))
}
