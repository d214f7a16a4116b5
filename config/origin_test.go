package config_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
)

func TestValuesTellTheirOrigin(t *testing.T) {
	c, err := load(t, []string{"SLUICE_QUEUES_ORDERS_RETENTION=5d", "HOST=db"}, `queues:
  orders:
    url: mongo://u:hunter2@${HOST}/x?token=abc&q=1
    retention: 4d
    dead_letter: {}
    tags: {b: "2", a: "1"}
`, "queues: {orders: {dead_letter: {name: letters}}}")
	require.NoError(t, err)
	var got []string
	for _, v := range c.Values() {
		if v.Origin.File != "" {
			v.Origin.File = filepath.Base(v.Origin.File)
		}
		got = append(got, v.Path+" = "+v.Text+" from "+v.Origin.String())
	}
	require.Equal(t, []string{
		"queues.orders.url = mongo://u:xxxxx@db/x?token=xxxxx&q=1 from a.yaml:3:10",
		"queues.orders.retention = 5d from $SLUICE_QUEUES_ORDERS_RETENTION",
		"queues.orders.tags = a=1,b=2 from a.yaml:6:11",
		"queues.orders.dead_letter.name = letters from b.yaml:1:39",
		"queues.orders.dead_letter.max_attempts = 5 from default",
	}, got)
}

func TestRedact(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"awssqs:///orders?region=us-east-1", "awssqs:///orders?region=us-east-1"},
		{"redis://user:pa%20ss@host:6379/0?prefix=x", "redis://user:xxxxx@host:6379/0?prefix=x"},
		{"redis://user@host", "redis://user@host"},
		{"x://h?password=a&Api_Key=b&apikey=&access_token=c&secretAccessKey=d&queue=orders&sig=e&key=f", "x://h?password=xxxxx&Api_Key=xxxxx&apikey=&access_token=xxxxx&secretAccessKey=xxxxx&queue=orders&sig=xxxxx&key=xxxxx"},
		{"x://h?pass%77ord=a", "x://h?pass%77ord=xxxxx"},
		{"dynamodb://table?partition_key=id", "dynamodb://table?partition_key=id"},
		{"orders", "orders"},
		{"x://u:secret@[bad", "xxxxx"},
		{"x://[bad?token=secret", "xxxxx"},
		{"a b:%zz", "a b:%zz"},
	} {
		require.Equal(t, c.want, config.Redact(c.text), c.text)
	}
}
