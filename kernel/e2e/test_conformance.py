"""Jupyter's own conformance tests, unchanged, against our kernel."""

import jupyter_kernel_test


class TestConformance(jupyter_kernel_test.KernelTests):
    kernel_name = "filprofile"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    code_page_something = "print?"
    code_generate_error = "raise ValueError('on purpose')"
    code_inspect_sample = "print"
    code_clear_output = "from IPython.display import clear_output; clear_output()"
    completion_samples = ({"text": "impor", "matches": {"import"}},)
    complete_code_samples = ("1", "print('hello')", "def f(x):\n  return x*2\n\n\n")
    incomplete_code_samples = ("print('''hello", "def f(x):\n  x*2")
    invalid_code_samples = ("import = 7q",)
    code_display_data = (
        {"code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))", "mime": "text/html"},
    )
    code_execute_result = ({"code": "6 * 7", "result": "42"},)
    # Left out, not skipped: plain ipykernel fails it, as it calls the running session 0. History is in test_clients.py.
    test_history = None
