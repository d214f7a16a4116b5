package opentable_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/sluice-go/sluice/outbox/opentable"
)

// The table is chosen by configuration.
func ExampleURL() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	table, db, err := opentable.URL(context.Background(), "sqlite://"+filepath.ToSlash(filepath.Join(dir, "outbox.db")))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := table.Migrate(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(table)
	// Output: SQLite table sluice_outbox
}
