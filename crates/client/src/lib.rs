//! What both programs need to reach an API server, and to read what it answers.
//!
//! | module | pure | what |
//! | --- | --- | --- |
//! | [`clock`] | no | the time, as a value that is passed in |
//! | [`error`] | all but the wait | requests with a deadline, and what follows from their failure |
//! | [`kubeconfig`] | no | which cluster, and how to reach it |
//! | [`object`] | yes | objects as the API server stores them, whatever they contain |
//! | [`proxy`] | all but the environment | through which proxy a request goes |
//! | [`yaml`] | yes | what is wrong with YAML, without its text |

pub mod clock;
pub mod error;
pub mod kubeconfig;
pub mod object;
pub mod proxy;
pub mod yaml;
