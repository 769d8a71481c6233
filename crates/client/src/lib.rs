//! What the operator and the plugin need to connect to an API server and to decode its responses.
//!
//! | module | pure | content |
//! | --- | --- | --- |
//! | [`clock`] | no | the current time as a value that is passed in |
//! | [`error`] | except for the wait | requests with a deadline, and how to handle their failure |
//! | [`kubeconfig`] | no | which cluster, and how to connect to it |
//! | [`object`] | yes | objects as the API server stores them, with any content |
//! | [`proxy`] | except for the environment | the proxy for a request |
//! | [`yaml`] | yes | errors in YAML, without its text |

pub mod clock;
pub mod error;
pub mod kubeconfig;
pub mod object;
pub mod proxy;
pub mod yaml;
