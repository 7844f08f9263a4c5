// Stands in for the generated header of imctl/options.proto in modules, on purpose empty: a
// module's message code is of the lite runtime, where a compiled extension of MethodOptions would
// register itself in the process-wide registry and break the host's view of every other module. The
// options live in the manifest's descriptors only.
