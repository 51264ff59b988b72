//! Tests over the store in memory and a real cache, through the router.

mod access;
mod applying;
mod audit;
mod deleting;
mod door;
mod events;
mod faults;
mod history;
mod hostile;
mod inline;
mod lists;
mod observed;
mod outage;
mod same;
mod specs;
mod staging;
mod versions;
mod watching;
mod world;
