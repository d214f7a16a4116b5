//go:build sluice_cel || sluice_all

package main

import (
	"github.com/sluice-go/sluice/admin/letters/where"
	"github.com/sluice-go/sluice/cmd/sluice/internal/cli"
)

// compiler returns the compiler of --where.
func compiler() func(string) (cli.Expression, error) {
	return func(source string) (cli.Expression, error) {
		e, err := where.Compile(source)
		if err != nil {
			return nil, err
		}
		return e, nil
	}
}
