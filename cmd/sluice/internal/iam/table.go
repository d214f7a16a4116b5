package iam

import "slices"

// A Purpose is what a program is permitted to do.
type Purpose string

// The purposes, named after the commands. A command that has none of its own is served by
// that of another: see [Commands].
const (
	Send    Purpose = "send"
	Run     Purpose = "run"
	Depth   Purpose = "depth"
	Peek    Purpose = "peek"
	Letters Purpose = "letters"
	Discard Purpose = "discard"
	Redrive Purpose = "redrive"
	Import  Purpose = "import"
	Purge   Purpose = "purge"
	Doctor  Purpose = "doctor"
	Plan    Purpose = "plan"
	Apply   Purpose = "apply"
	Console Purpose = "console"
)

// Purposes lists them.
func Purposes() []Purpose {
	return []Purpose{Send, Run, Depth, Peek, Letters, Discard, Redrive, Import, Purge, Doctor, Plan, Apply, Console}
}

// A Cloud is where queues are.
type Cloud string

// The clouds.
const (
	AWS Cloud = "aws"
	GCP Cloud = "gcp"
)

// A role is what a resource is to a queue.
type role string

const (
	theQueue     role = "queue"
	theTopic     role = "topic"
	deadLetters  role = "dead letters"
	theDeadTopic role = "dead-letter topic"
	theProject   role = "project"
	theAccount   role = "account" // everything in it: the service has no smaller resource
	theAlarms    role = "alarms"
	theKey       role = "key"
	theBucket    role = "bucket"
	thePrefix    role = "bucket's prefix" // what is listed of it
	theObjects   role = "objects"
	anything     role = "*"
)

// A need is a permission on a resource.
type need struct {
	permission string
	on         role
}

// A condition is on what a call depends besides the purpose.
type condition string

const (
	always         condition = ""
	byName         condition = "a URL without the queue's host"
	bySubscription condition = "a URL of a subscription"
	withTags       condition = "tags"
	withAlarms     condition = "alarms"
	withKey        condition = "kms_key"
	withBucket     condition = "a bucket"
)

// A row is a call that a driver makes.
type row struct {
	call  string
	on    role
	needs []need
	when  condition
	for_  []Purpose
	// unrecorded is why no recording shows the call. Empty means that one must.
	unrecorded string
}

// serves reports whether the row is for a purpose.
func (r row) serves(p Purpose) bool { return slices.Contains(r.for_, p) }

// same is a need for the call's own permission, on its own resource.
func same(permission string, on role) []need { return []need{{permission, on}} }

// without lists all purposes but some.
func without(some ...Purpose) []Purpose {
	return slices.DeleteFunc(Purposes(), func(p Purpose) bool { return slices.Contains(some, p) })
}
