//! What only PostgreSQL can do: several reconcilers on one database. They need a server, which `scripts/test`
//! starts; its address is in `ALMANAC_TEST_POSTGRES`.

mod failover;
mod live;
mod outage;
mod servers;
mod surroundings;
mod tail;
mod together;
mod uploads;
