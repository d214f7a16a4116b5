package config_test

import (
	"fmt"
	"os"

	"github.com/sluice-go/sluice/config"
)

func ExampleLoad() {
	const file = "example.yaml"
	err := os.WriteFile(file, []byte(`
queues:
  orders:
    url: awssqs:///orders?region=${AWS_REGION:-us-east-1}
    retention: 4d
`), 0o600)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(file)

	cfg, err := config.Load(&config.Options{
		Files:   []string{file},
		Environ: []string{"SLUICE_QUEUES_ORDERS_RETENTION=6d"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range cfg.Values() {
		fmt.Printf("%s: %s (%s)\n", v.Path, v.Text, v.Origin)
	}
	_, err = cfg.Queue("odrers")
	fmt.Println(err)
	// Output:
	// queues.orders.url: awssqs:///orders?region=us-east-1 (example.yaml:4:10)
	// queues.orders.retention: 6d ($SLUICE_QUEUES_ORDERS_RETENTION)
	// unknown queue "odrers": did you mean "orders"? (known: orders)
}
