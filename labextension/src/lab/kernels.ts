/**
 * Which kernels can profile, and how to get to one.
 */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { KernelSpec } from '@jupyterlab/services';
import { say } from '../../../schema/words.js';

/** The module that our kernel specs start, whatever somebody named them. */
const KERNEL_MODULE = 'filprofiler.kernel';

export class Kernels {
  readonly #specs: KernelSpec.IManager;

  constructor(specs: KernelSpec.IManager) {
    this.#specs = specs;
  }

  /** A kernel that can profile: that of the notebook if it is one, else the first that is installed; null if none is. */
  get ours(): KernelSpec.ISpecModel | null {
    const specs = Object.values(this.#specs.specs?.kernelspecs ?? {});
    return specs.find((spec) => spec !== undefined && isOurs(spec)) ?? null;
  }

  /** Whether a notebook's kernel can profile. */
  canProfile(panel: NotebookPanel): boolean {
    const name = panel.sessionContext.session?.kernel?.name;
    const spec = name === undefined ? undefined : this.#specs.specs?.kernelspecs[name];
    return spec !== undefined && isOurs(spec);
  }

  /**
   * Makes sure that a notebook's kernel can profile: if it can't, offers to switch.
   *
   * @returns whether it can now.
   */
  async ensure(panel: NotebookPanel): Promise<boolean> {
    // Without a kernel, an execution would clear the output and do nothing.
    await panel.sessionContext.ready;
    if (this.canProfile(panel)) {
      return true;
    }
    const { ours } = this;
    if (ours === null) {
      await showDialog({
        title: say('No kernel that can profile'),
        body: say('Install filprofiler where Jupyter runs: pip install filprofiler. Then reload this page.'),
        buttons: [Dialog.okButton()],
      });
      return false;
    }
    const { kernelDisplayName } = panel.sessionContext;
    const { button } = await showDialog({
      title: say('Switch to the kernel "%1"?', ours.display_name),
      body: say(
        'Memory has to be tracked from a process\'s start, which "%1" does not do. Switching starts a new kernel: variables are lost, and cells have to be run again.',
        kernelDisplayName,
      ),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: say('Switch Kernel') })],
    });
    if (!button.accept) {
      return false;
    }
    await panel.sessionContext.changeKernel({ name: ours.name });
    return this.canProfile(panel);
  }
}

function isOurs(spec: KernelSpec.ISpecModel): boolean {
  return spec.argv.includes(KERNEL_MODULE);
}
