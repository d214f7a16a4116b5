package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
)

// filterHelp is of the flags that select, in the help of each command that has them.
const filterHelp = `--attr, --id, --group, --kind, --reason, --source, --since, --until and --where select.
--reason is a pattern for the whole reason, in which * stands for any text and ? for one
character. --kind is the attribute "type". --group is the ID of a group that "sluice
letters" shows. --since and --until are of the last failure (RFC 3339, a date, or a
duration back, such as 2h). Several values of --id, --group, --kind and --reason are
alternatives. --where is an expression of the Common Expression Language, such as
'kind == "refund" && body.amount > 100'; docs/deadletters.md has its variables. It needs a sluice that
was built with -tags sluice_cel (or sluice_all).`

// filterFlags select messages. All commands that select have the same.
type filterFlags struct {
	attributes, ids, groups, kinds, reasons []string
	origin, since, until, where             string

	expression Expression
}

func (f *filterFlags) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.attributes, "attr", nil, "only with this attribute, as `KEY=VALUE`; repeatable, all must match")
	fl.StringArrayVar(&f.ids, "id", nil, "only the message with this `ID`; repeatable")
	fl.StringArrayVar(&f.groups, "group", nil, "only of the group with this `ID`; repeatable")
	fl.StringArrayVar(&f.kinds, "kind", nil, "only of this `KIND`; repeatable")
	fl.StringArrayVar(&f.reasons, "reason", nil, "only with a reason that matches `GLOB`; repeatable")
	fl.StringVar(&f.origin, "source", "", "only letters that came from this `QUEUE`, of a dead-letter queue that serves several")
	fl.StringVar(&f.since, "since", "", "only failed since this `TIME`")
	fl.StringVar(&f.until, "until", "", "only failed before this `TIME`")
	fl.StringVar(&f.where, "where", "", "only if `EXPR`, an expression, is true")
}

// parse returns the filter that the flags make, without its queue, which originOf finds.
func (f *filterFlags) parse(command string, now time.Time, compile func(string) (Expression, error)) (out letters.Filter, err error) {
	if out.Attributes, err = parseAttributes(f.attributes); err != nil {
		return out, err
	}
	for _, id := range f.groups {
		if !strings.HasPrefix(id, "g") {
			return out, usage("%s: --group %s is not the ID of a group, which begins with g: see sluice letters", command, id)
		}
	}
	out.IDs, out.Groups, out.Kinds, out.Reasons = f.ids, f.groups, f.kinds, f.reasons
	if out.Since, err = parseTime(command, "since", f.since, now); err != nil {
		return out, err
	}
	if out.Until, err = parseTime(command, "until", f.until, now); err != nil {
		return out, err
	}
	if !out.Since.IsZero() && !out.Until.IsZero() && !out.Since.Before(out.Until) {
		return out, usage("%s: --since %s is not before --until %s", command, f.since, f.until)
	}
	if f.where != "" {
		if compile == nil {
			return out, usage("%s: --where: this sluice was built without expressions: build it with -tags sluice_cel (or sluice_all)", command)
		}
		if f.expression, err = compile(f.where); err != nil {
			return out, usage("%s: --where: %w", command, err)
		}
		out.Where = f.expression.Selects
	}
	return out, nil
}

// warn reports letters for which --where could not be evaluated and, if hidden is true,
// that the look at the named queue could not see some.
func (f *filterFlags) warn(a *app, name string, hidden bool) {
	if f.expression != nil {
		if n, fault := f.expression.Fault(); n > 0 {
			a.log.Warn("--where could not be evaluated for some messages: they are not selected", "messages", n, "first", fault)
		}
	}
	if hidden {
		a.log.Warn("letters of an ordered queue that were held stood before others of their group: those were not looked at", "queue", name)
	}
}

// open opens the queue whose letters a command works on, and completes the filter with the
// queue that --source names.
func (f *filterFlags) open(ctx context.Context, a *app, queue string, filter *letters.Filter) (place, drivers.Source, error) {
	q, source, err := a.openExisting(ctx, queue)
	if err != nil {
		return place{}, nil, err
	}
	if filter.Queue, err = f.originOf(ctx, a, queue, source); err != nil {
		return place{}, nil, errors.Join(err, source.Close())
	}
	return placeOf(q, source), source, nil
}

// selects reports whether any of the flags was given.
func (f *filterFlags) selects() bool {
	return len(f.attributes)+len(f.ids)+len(f.groups)+len(f.kinds)+len(f.reasons) > 0 ||
		f.origin != "" || f.since != "" || f.until != "" || f.where != ""
}

// unfound returns an error if fewer letters matched than --id names, and nothing else
// selects: what was asked for by name was not done. max is the most letters that were
// asked for, or 0 for all. where is what was searched.
func (f *filterFlags) unfound(command string, matched int64, max int, where string) error {
	ids := len(slices.Compact(slices.Sorted(slices.Values(f.ids))))
	rest := *f
	rest.ids = nil
	switch {
	case rest.selects() || max > 0 || matched >= int64(ids):
		return nil
	case ids == 1:
		return fmt.Errorf("%s: no letter in %s has the ID %s, unless somebody holds it just now", command, where, f.ids[0])
	default:
		return fmt.Errorf("%s: only %d of the %d letters with these IDs are in %s, unless somebody holds the others just now", command, matched, ids, where)
	}
}

// lettersOf names what has the letters of a queue.
func lettersOf(queue string) string { return "the dead-letter queue of " + queue }

// originOf returns what dead letters call the queue that --source names, by its name in
// the configuration, its URL, or what the provider calls it.
func (f *filterFlags) originOf(ctx context.Context, a *app, queue string, source drivers.Source) (_ string, err error) {
	if f.origin == "" {
		return "", nil
	}
	if f.origin == queue {
		return source.Capabilities().Queue, nil
	}
	c, err := a.config()
	if err != nil {
		return "", err
	}
	if !config.IsURL(f.origin) && !slices.Contains(c.Names(), f.origin) {
		return f.origin, nil
	}
	_, other, err := a.openExisting(ctx, f.origin)
	if err != nil {
		return "", err
	}
	defer closing(other, &err)
	return other.Capabilities().Queue, nil
}

// parseTime reads a time, a date or a duration back; "" is the zero time.
func parseTime(command, flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	var d time.Duration
	if err := (durationValue{&d}).Set(s); err != nil || d <= 0 {
		return time.Time{}, usage("%s: --%s %s is neither a time such as %s, nor a date, nor a duration back such as 2h", command, flag, s, fmt.Sprint(now.UTC().Format(time.RFC3339)))
	}
	return now.Add(-d), nil
}
