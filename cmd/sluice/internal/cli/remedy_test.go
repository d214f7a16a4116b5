package cli

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
)

func TestHints(t *testing.T) {
	t.Parallel()
	orders := &config.Queue{Name: "orders", Source: "awssqs:///orders?region=us-east-1", Configured: true}
	events := &config.Queue{Name: "events", Source: "gcppubsub://projects/demo/subscriptions/clicks", Sink: "gcppubsub://projects/demo/topics/events", Configured: true}
	byURL := &config.Queue{Name: "awssqs:///orders", Source: "awssqs:///orders"}
	const grant, apply = "grant this identity the permissions that package sqs lists", "or apply its configuration, which creates it"
	for name, c := range map[string]struct {
		command string
		asked   []*config.Queue
		code    drivers.Code
		queue   string
		remedy  string
		want    string
	}{
		"no right":                   {"redrive", []*config.Queue{orders}, drivers.Denied, "orders", grant, "; to print what is needed: sluice iam orders --for redrive --config my.yaml"},
		"no right, by URL":           {"letters", []*config.Queue{byURL}, drivers.Denied, "orders", grant, "; to print what is needed: sluice iam awssqs:///orders --for letters --config my.yaml"},
		"no right, of two queues":    {"depth", []*config.Queue{orders, events}, drivers.Denied, "projects/demo/subscriptions/clicks", grant, "; to print what is needed: sluice iam events --for depth --config my.yaml"},
		"no credentials":             {"redrive", []*config.Queue{orders}, drivers.Denied, "orders", "check the credentials", ""},
		"no cloud to have rights in": {"pause", []*config.Queue{orders}, drivers.Denied, "orders", grant, ""},
		"missing, by topic":          {"send", []*config.Queue{orders, events}, drivers.NotFound, "projects/demo/topics/events", apply, "; to create it: sluice apply events --config my.yaml"},
		"missing, cannot tell":       {"depth", []*config.Queue{orders, events}, drivers.NotFound, "other", apply, "; to create it: sluice apply orders events --config my.yaml"},
		"missing, by URL":            {"depth", []*config.Queue{byURL}, drivers.NotFound, "orders", apply, ""},
		"gone, and not to be made":   {"run", []*config.Queue{orders}, drivers.NotFound, "orders", "put the file back", ""},
		"too large":                  {"send", []*config.Queue{orders}, drivers.Invalid, "orders", "put a claim check into the producer", "; from here: --claim-check URL"},
		"another's letters":          {"redrive", []*config.Queue{orders}, drivers.Invalid, "orders", "redrive by origin", "; to select by origin: sluice redrive orders --source orders --config my.yaml"},
	} {
		a := adviser{&app{command: c.command, asked: c.asked, files: []string{"my.yaml"}}}
		err := fmt.Errorf("at: %w", &drivers.Error{Code: c.code, Queue: c.queue, Remedy: c.remedy})
		require.Equal(t, c.want, a.hint(err), name)
	}
	require.Empty(t, adviser{&app{}}.hint(errors.New("not a driver's")))
}
