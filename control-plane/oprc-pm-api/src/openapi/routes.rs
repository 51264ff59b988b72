//! Routes with their descriptions.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, on},
};

use super::{Describe, Described, serve};
use crate::call::App;

/// A router, and what is described of it.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<Arc<App>>,
    described: Vec<Described>,
}

impl Routes {
    pub(crate) fn get<H, T>(self, path: &str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.on((MethodFilter::GET, "get"), path, handler, describe)
    }

    pub(crate) fn post<H, T>(self, path: &str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.on((MethodFilter::POST, "post"), path, handler, describe)
    }

    pub(crate) fn put<H, T>(self, path: &str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.on((MethodFilter::PUT, "put"), path, handler, describe)
    }

    pub(crate) fn delete<H, T>(self, path: &str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.on((MethodFilter::DELETE, "delete"), path, handler, describe)
    }

    fn on<H, T>(
        mut self,
        (filter, method): (MethodFilter, &'static str),
        path: &str,
        handler: H,
        describe: Describe,
    ) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        // Of one path, each method adds to those before it.
        self.router = self.router.route(path, on(filter, handler));
        self.described.push(Described { method, path: path.to_owned(), describe });
        self
    }

    /// These and `other`.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.described.extend(other.described);
        self
    }

    /// These, below `prefix`.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        for route in &mut self.described {
            route.path.insert_str(0, prefix);
        }
        self.router = Router::new().nest(prefix, self.router);
        self
    }

    /// The router, with the routes that tell of all.
    pub(crate) fn into_router(self) -> Router<Arc<App>> {
        let (own, told) = serve::routes();
        let all = self.merge(own);
        told.fill(all.described);
        all.router
    }

    /// What is described.
    #[cfg(test)]
    pub(crate) fn into_described(self) -> Vec<Described> {
        self.merge(serve::routes().0).described
    }
}
