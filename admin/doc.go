// Package admin operates queues, on every provider: [Plan] and [Apply] configure
// queues by their specification, [Examine] reports their faults, and package
// admin/redrive redrives dead letters. A [Fleet] does it with many queues concurrently.
//
// Drivers supply facts and single steps (package provision). The order of the
// steps, the rules and the texts of the findings are here, once: the catalogue
// lists every finding with its severity, the reason why it matters and the kind
// of [Remedy]. A remedy names no command; the sluice command adds its own.
package admin
