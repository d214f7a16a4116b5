package main

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
)

// profiles are the files that profiles of this process are written to; an empty
// name writes no profile.
type profiles struct {
	cpu, allocs, mutex, block string
}

// start begins to profile; stop writes the files.
func (p profiles) start() (stop func() error, err error) {
	var cpu *os.File
	if p.cpu != "" {
		if cpu, err = os.Create(p.cpu); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(cpu); err != nil {
			return nil, errors.Join(err, cpu.Close())
		}
	}
	if p.mutex != "" {
		runtime.SetMutexProfileFraction(1)
	}
	if p.block != "" {
		runtime.SetBlockProfileRate(1)
	}
	return func() error {
		var all []error
		if cpu != nil {
			pprof.StopCPUProfile()
			all = append(all, cpu.Close())
		}
		for name, path := range map[string]string{"allocs": p.allocs, "mutex": p.mutex, "block": p.block} {
			if path == "" {
				continue
			}
			f, err := os.Create(path)
			if err != nil {
				all = append(all, err)
				continue
			}
			all = append(all, pprof.Lookup(name).WriteTo(f, 0), f.Close())
		}
		return errors.Join(all...)
	}, nil
}
