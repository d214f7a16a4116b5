// Package provision is the part of the port that operations need: the
// specification of a queue ([Spec]), its current state ([State]), and the steps
// from one to the other ([Plan]).
//
// A driver reads and changes one thing at a time. Its opener implements
// [Planner] and [Examiner]; each read is a fact and each change is a [Step]. It
// doesn't order, apply or judge them: package admin does, once for all drivers.
// The package depends on the standard library only, so that drivers and admin
// both import it.
package provision
