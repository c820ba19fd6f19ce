//! The pipeline: contract to plan, the ports, sources, plugins, accept, deliver. No sockets.
