// Package admin is for the operators of queues, on every provider: [Plan] and
// [Apply] make queues what their specification asks for, [Examine] finds what is
// wrong with them, and package admin/redrive brings dead letters back.
//
// Drivers supply facts and single steps (package provision). The order of the
// steps, the rules and the texts of the findings are here, once: [Catalogue]
// lists every finding with its severity, the reason why it matters and the kind
// of [Remedy]. A remedy names no command: the sluice command words it.
package admin
