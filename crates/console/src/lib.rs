//! Admin HTTP API, health and metrics
