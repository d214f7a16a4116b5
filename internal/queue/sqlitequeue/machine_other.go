//go:build !linux && !darwin && !windows

package sqlitequeue

func uptime() (int64, bool) { return 0, false }

func bootID() string { return "" }
