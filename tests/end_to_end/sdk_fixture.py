"""imctl installed into a prefix of its own, and commands that see nothing else of it: the sources, and the build
folder in them, are out of reach.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

from host_fixture import BUILD, ROOT, clean_environment

# Puts an empty folder over each of the folders that it is given, for itself and what it runs.
HIDE = 'while [ "$1" != -- ]; do mount -t tmpfs none "$1" || exit 99; shift; done; shift; exec "$@"'


class Installation:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="imctl-sdk-")
        self.prefix = os.path.join(self.folder, "usr")
        subprocess.run(["cmake", "--install", str(BUILD), "--prefix", self.prefix], check=True,
                       stdout=subprocess.DEVNULL)
        self.imctl = os.path.join(self.prefix, "bin", "imctl")
        self.modules = os.path.join(self.prefix, "lib", "imctl", "modules")
        self.env = clean_environment({
            "PATH": os.path.join(self.prefix, "bin") + ":" + os.environ["PATH"],
            "PKG_CONFIG_PATH": os.path.join(self.prefix, "lib", "pkgconfig"),
            "CMAKE_PREFIX_PATH": self.prefix,
            "CMAKE_BUILD_PARALLEL_LEVEL": "2",
            "CFLAGS": "-Wall -Wextra -Werror",
            "CXXFLAGS": "-Wall -Wextra -Werror",
            "HOME": self.folder,
            "XDG_DATA_HOME": os.path.join(self.folder, "share"),
            "XDG_CONFIG_HOME": os.path.join(self.folder, "config"),
            "CCACHE_DIR": os.environ.get("CCACHE_DIR", os.path.expanduser("~/.cache/ccache")),
        })
        self.hidden = sorted({str(ROOT), str(BUILD)}, key=len)
        if str(BUILD).startswith(str(ROOT) + "/"):
            self.hidden = [str(ROOT)]

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def out_of_reach(self, command):
        """The command in a namespace where the sources are not."""
        become = [] if os.geteuid() == 0 else ["--map-root-user"]
        return ["unshare", *become, "--mount", "sh", "-c", HIDE, "sh", *self.hidden, "--", *command]

    def run(self, *command, cwd=None, code=0, stdin=None):
        """Runs it; gives its standard output, or that and its standard error if it is to fail."""
        run = subprocess.run(self.out_of_reach([str(word) for word in command]), env=self.env,
                             cwd=cwd or self.folder, capture_output=True, text=True, input=stdin,
                             timeout=300, check=False)
        if run.returncode != code:
            raise AssertionError(f"{command}: exit code {run.returncode}\n{run.stdout}\n{run.stderr}")
        return run.stdout if code == 0 else run.stdout + run.stderr

    def build(self, folder):
        """As every README says it: configure, build, test, install."""
        self.run("cmake", "-B", "build", cwd=folder)
        self.run("cmake", "--build", "build", cwd=folder)
        out = self.run("ctest", "--test-dir", "build", "--output-on-failure", cwd=folder)
        self.run("cmake", "--install", "build", cwd=folder)
        return out

    def copy_example(self, name):
        folder = pathlib.Path(self.folder, name)
        shutil.copytree(pathlib.Path(self.prefix, "share", "imctl", "examples", name), folder)
        return folder

    def embedded(self, *verb, **options):
        return self.run(self.imctl, "--embedded", "--set", "host.data=" + os.path.join(self.folder, "data"),
                        *verb, **options)
