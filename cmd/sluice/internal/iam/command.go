package iam

import "slices"

// A Command is a command of sluice with what it does at the providers of queues.
type Command struct {
	Name string
	// Purposes are those that it needs. Empty means that it makes no call that a policy
	// permits.
	Purposes []Purpose
	// Note says what else there is to know.
	Note string
}

// Commands lists all commands.
func Commands() []Command {
	return []Command{
		{"send", []Purpose{Send}, ""},
		{"run", []Purpose{Run}, "with a `delay_store` or schedules also `send`: it relays"},
		{"ingest", []Purpose{Send}, ""},
		{"relay", []Purpose{Send}, ""},
		{"outbox", nil, storeOnly},
		{"schedules", []Purpose{Send}, "only `schedules run` sends; the list comes from the database"},
		{"pause", nil, storeOnly},
		{"resume", nil, storeOnly},
		{"limit", nil, storeOnly},
		{"probe", nil, "it asks a worker"},
		{"depth", []Purpose{Depth}, ""},
		{"peek", []Purpose{Peek}, "with `--dead` it is `letters`"},
		{"letters", []Purpose{Letters}, ""},
		{"redrive", []Purpose{Redrive}, ""},
		{"discard", []Purpose{Discard}, ""},
		{"edit", []Purpose{Redrive}, ""},
		{"export", []Purpose{Letters}, ""},
		{"import", []Purpose{Import}, ""},
		{"archive", []Purpose{Discard}, ""},
		{"purge", []Purpose{Purge}, ""},
		{"plan", []Purpose{Plan}, ""},
		{"apply", []Purpose{Apply}, ""},
		{"doctor", []Purpose{Doctor}, ""},
		{"iam", nil, "it asks nobody"},
		{"scaler", []Purpose{Depth}, ""},
		{"console", []Purpose{Console}, "it looks at letters only if a viewer asks for it, which is `letters`; with `--write` it is also `redrive`"},
		{"dev", nil, "it serves queues of its own"},
		{"init", nil, "it writes files"},
		{"config", nil, "it reads files"},
		{"version", nil, ""},
	}
}

// storeOnly is the note of a command that calls no provider.
const storeOnly = "it talks to a file or a database, which has users and grants of its own"

// CommandNamed returns a command.
func CommandNamed(name string) (Command, bool) {
	all := Commands()
	i := slices.IndexFunc(all, func(c Command) bool { return c.Name == name })
	if i < 0 {
		return Command{}, false
	}
	return all[i], true
}
