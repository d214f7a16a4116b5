package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const groupsPath = "service" + separator + "groups"

// A grouping puts queues into the groups whose handlers they share.
type grouping struct {
	m       *merger
	groups  map[string]Group // nil if there are none
	members map[string][]*binding
}

// newGrouping returns the groups of the section service.
func newGrouping(m *merger) *grouping {
	g := &grouping{m: m, members: make(map[string][]*binding)}
	all, ok := m.values.Get(groupsPath).(map[string]any)
	if !ok {
		return g
	}
	g.groups = make(map[string]Group, len(all))
	n := find(strings.Split(groupsPath, separator)).of
	for name := range all {
		at := groupsPath + separator + name
		m.fillIn(n, at)
		b := &binding{}
		m.bind(b, n, at)
		g.groups[name] = b.group
	}
	return g
}

// check reports faults of the queues' places in groups, and gives each queue of a group
// the group's concurrency.
func (g *grouping) check(queues []*binding) {
	for _, q := range queues {
		if q.Consumer != nil {
			g.place(q)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.members)) {
		if n, qs := g.groups[name].Concurrency, g.members[name]; n < len(qs) {
			at := g.concurrencyOf(name)
			g.m.faults = append(g.m.faults, &Fault{Origin: g.m.origins[at], Path: display(at),
				Problem: fmt.Sprintf("%d is less than the %d queues of the group: one would starve", n, len(qs))})
		}
	}
}

// place puts a queue into its group.
func (g *grouping) place(q *binding) {
	c := q.Consumer
	fault := func(key, problem, remedy string) {
		at := consumerKey(q, key)
		g.m.faults = append(g.m.faults, &Fault{Origin: g.m.origins[at], Path: display(at), Problem: problem, Remedy: remedy})
	}
	if c.Weight > 0 && c.Priority > 0 {
		fault("priority", fmt.Sprintf("the queue has consumer.weight (%s) too", g.m.origins[consumerKey(q, "weight")]), "leave one of them out")
	}
	const inNone = "set consumer.group, and the group in service.groups"
	group, known := g.groups[c.Group]
	switch {
	case c.Group == "" && c.Weight > 0:
		fault("weight", "the queue is in no group whose handlers it could share", inNone)
	case c.Group == "" && c.Priority > 0:
		fault("priority", "the queue is in no group in which it could be before others", inNone)
	case c.Group == "":
	case !known:
		remedy := "add service.groups." + c.Group
		if len(g.groups) > 0 {
			remedy = didYouMean(c.Group, slices.Sorted(maps.Keys(g.groups)))
		}
		fault("group", fmt.Sprintf("unknown group %q", c.Group), remedy)
	case !g.m.origins[consumerKey(q, "concurrency")].Default:
		fault("concurrency", fmt.Sprintf("the queue is in the group %q, which has %d for all its queues", c.Group, group.Concurrency),
			"leave it out here, and set service.groups."+c.Group+".concurrency")
	default:
		c.Concurrency = group.Concurrency
		at := consumerKey(q, "concurrency")
		if err := g.m.values.Set(at, group.Concurrency); err != nil {
			fault("concurrency", err.Error(), "")
		}
		g.m.origins[at] = g.m.origins[g.concurrencyOf(c.Group)]
		g.compare(q, fault)
		g.members[c.Group] = append(g.members[c.Group], q)
	}
}

// compare reports a queue with a weight in a group with priorities, and the other way.
func (g *grouping) compare(q *binding, fault func(key, problem, remedy string)) {
	own, theirs := "weight", "priority"
	if q.Consumer.Priority > 0 {
		own, theirs = theirs, own
	}
	for _, other := range g.members[q.Consumer.Group] {
		o, c := other.Consumer, q.Consumer
		if o.Weight > 0 && c.Priority > 0 || o.Priority > 0 && c.Weight > 0 {
			fault(own, fmt.Sprintf("queue %q of the same group has a %s (%s)", other.Name, theirs, g.m.origins[consumerKey(other, theirs)]), "a group has weights or priorities")
			return
		}
	}
}

// concurrencyOf returns the path of a group's concurrency.
func (g *grouping) concurrencyOf(group string) string {
	return strings.Join([]string{groupsPath, group, "concurrency"}, separator)
}

// consumerKey returns the path of a key of a queue's section consumer.
func consumerKey(q *binding, key string) string {
	return strings.Join([]string{"queues", q.Name, "consumer", key}, separator)
}
