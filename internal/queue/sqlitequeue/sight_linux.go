package sqlitequeue

import (
	"os"
	"syscall"
)

// A sight is what a look at a file showed. It is the system's own answer, since
// [os.Stat] takes half as long again and allocates: every operation looks at three
// files.
type sight struct{ stat syscall.Stat_t }

// lookAt looks at the file at path.
func lookAt(path string) (s sight, err error) {
	for {
		if err = syscall.Stat(path, &s.stat); err != syscall.EINTR {
			return s, err
		}
	}
}

// lookInto looks at an open file, wherever it is.
func lookInto(f *os.File) (s sight, err error) {
	for {
		if err = syscall.Fstat(int(f.Fd()), &s.stat); err != syscall.EINTR {
			return s, err
		}
	}
}

func (s *sight) size() int64 { return s.stat.Size }

// same reports whether both are of one file.
func (s *sight) same(o *sight) bool { return s.stat.Ino == o.stat.Ino && s.stat.Dev == o.stat.Dev }

// unchanged reports whether a file that is the same was not written to in between.
func (s *sight) unchanged(o *sight) bool {
	return s.stat.Size == o.stat.Size && s.stat.Mtim == o.stat.Mtim
}
