//go:build !sluice_cel && !sluice_all

package main

import "github.com/sluice-go/sluice/cmd/sluice/internal/cli"

// compiler returns nil: this program has no --where.
func compiler() func(string) (cli.Expression, error) { return nil }
